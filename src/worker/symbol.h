/* symbol.h - which function and source line an address belongs to.
 *
 * Reads an ELF file that lies in memory: the symbol table and, when the file
 * was built with -g, DWARF's line table. Knows what gcc and clang make for
 * the machine it runs on: ELF64 in its byte order, DWARF 2 to 5, sections that
 * are not compressed.
 *
 * Safe in a signal handler: allocates nothing, calls nothing, and believes no
 * offset that it reads.
 */
#ifndef HR_WORKER_SYMBOL_H
#define HR_WORKER_SYMBOL_H

#include <stddef.h>
#include <stdint.h>

#include <headrace/types.h>

struct hr_symbol {
    struct hr_str function; /* empty: unknown */
    struct hr_str file;     /* its last component; empty: unknown */
    uint64_t line;
};

/* `address` is relative to where the object was loaded. What is lent points into `data`. */
struct hr_symbol hr_symbol_find(const void *data, size_t size, uint64_t address);

#endif /* HR_WORKER_SYMBOL_H */
