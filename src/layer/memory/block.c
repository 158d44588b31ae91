/* block.c - message blocks, and the cells through which leased ones are found.
 *
 * Tickets and leases are copied about by programs and outlive what they name,
 * so they hold no pointer but a cell's number and generation. A cell that is
 * freed takes the next generation; whatever still names the old one finds
 * nobody. Only leased messages have one.
 */
#include "base/alloc.h"
#include "layer/memory/store.h"

enum { CELLS_AT_FIRST = 64, TRIM_ABOVE = 4096 };

static uint64_t cost_of(size_t cap)
{
    return sizeof(struct hr_mem_block) + cap;
}

static bool cells_reserve(struct hr_mem_store *store)
{
    if (store->free_cell)
        return true;
    uint32_t n = store->n_cells ? store->n_cells * 2 : CELLS_AT_FIRST;
    struct hr_mem_cell *cells = hr_realloc(store->cells, n * sizeof *cells);
    if (!cells)
        return false;
    for (uint32_t i = store->n_cells; i < n; i++)
        cells[i] = (struct hr_mem_cell){.gen = 1, .next_free = i + 1 < n ? i + 2 : 0};
    store->free_cell = store->n_cells + 1;
    store->cells = cells;
    store->n_cells = n;
    return true;
}

static void cell_take(struct hr_mem_store *store, struct hr_mem_block *block)
{
    block->cell = store->free_cell;
    struct hr_mem_cell *cell = &store->cells[block->cell - 1];
    store->free_cell = cell->next_free;
    cell->block = block;
}

void hr_mem_block_end_lease(struct hr_mem_block *block)
{
    struct hr_mem_store *store = block->store;
    if (!block->cell)
        return;
    struct hr_mem_cell *cell = &store->cells[block->cell - 1];
    hr_assert(cell->block == block);
    cell->block = NULL;
    cell->gen++;
    cell->next_free = store->free_cell;
    store->free_cell = block->cell;
    block->cell = 0;
}

bool hr_mem_block_lease(struct hr_mem_block *block)
{
    if (!block->cell && !cells_reserve(block->store))
        return false;
    if (!block->cell)
        cell_take(block->store, block);
    return true;
}

uint64_t hr_mem_block_word(const struct hr_mem_block *block)
{
    hr_assert(block->cell);
    return (uint64_t)block->store->cells[block->cell - 1].gen << 32 | block->cell;
}

struct hr_mem_block *hr_mem_block_of(const struct hr_mem_store *store, uint64_t word)
{
    uint32_t number = (uint32_t)word;
    if (number == 0 || number > store->n_cells)
        return NULL;
    const struct hr_mem_cell *cell = &store->cells[number - 1];
    return cell->gen == word >> 32 ? cell->block : NULL;
}

int hr_mem_block_new(struct hr_mem_store *store, size_t cap, bool is_control, bool is_leased,
                     struct hr_mem_block **out)
{
    uint64_t limit = store->max_bytes;
    if (!is_control)
        limit -= limit / HR_MEM_CONTROL_SHARE;
    *out = NULL;
    if (store->bytes > limit || cost_of(cap) > limit - store->bytes)
        return hr_layer_refuse(HR_FULL_MEMORY);
    if (is_leased && !cells_reserve(store))
        return hr_layer_refuse(HR_FULL_MEMORY);
    struct hr_mem_block *block = hr_alloc(sizeof *block + cap);
    if (!block)
        return hr_layer_refuse(HR_FULL_MEMORY);

    *block = (struct hr_mem_block){
        .store = store,
        .refs = 1,
        .expires_at = HR_NEVER,
        .lease_end = HR_NEVER,
        .cap = cap,
    };
    if (is_leased)
        cell_take(store, block);
    store->bytes += cost_of(cap);
    *out = block;
    return 0;
}

struct hr_mem_block *hr_mem_block_trim(struct hr_mem_block *block)
{
    if (block->cap - block->len < TRIM_ABOVE)
        return block;
    struct hr_mem_block *trimmed = hr_realloc(block, sizeof *block + block->len);
    if (!trimmed)
        return block;
    trimmed->store->bytes -= trimmed->cap - trimmed->len;
    trimmed->cap = trimmed->len;
    if (trimmed->cell)
        trimmed->store->cells[trimmed->cell - 1].block = trimmed;
    return trimmed;
}

void hr_mem_block_ref(struct hr_mem_block *block)
{
    block->refs++;
}

void hr_mem_block_unref(struct hr_mem_block *block)
{
    hr_assert(block->refs > 0);
    if (--block->refs > 0)
        return;
    hr_assert(!hr_list_is_linked(&block->node));
    hr_mem_block_end_lease(block);
    block->store->bytes -= cost_of(block->cap);
    hr_free(block);
}
