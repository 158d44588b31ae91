#!/bin/sh
# reference.sh MANUAL PAGE FILE: fails when FILE is not what the tables of src/tables say.
if "$1" "$2" | diff -u "$3" - >&2; then
    exit 0
fi
echo "$3 is not what src/tables says; write it anew: $1 $2 > $3" >&2
exit 1
