/* Start of the allocator: on the first allocation, which may come before any constructor. */
#ifndef HAK_INIT_H
#define HAK_INIT_H

void hak_init(void);

#endif
