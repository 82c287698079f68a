#include <stdio.h>
struct node { struct node *next; int value; };
int main(int argc, char **argv) { (void)argv; printf("%d\n", argc); return 0; }
