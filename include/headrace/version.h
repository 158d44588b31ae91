/* version.h - which Headrace this is. */
#ifndef HEADRACE_VERSION_H
#define HEADRACE_VERSION_H

#define HR_VERSION "0.1.0"
#define HR_VERSION_MAJOR 0
#define HR_VERSION_MINOR 1
#define HR_VERSION_PATCH 0

#endif /* HEADRACE_VERSION_H */
