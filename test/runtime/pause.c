/* All that a sandbox's first process does: be there. */
#include <unistd.h>

int main(void) {
  for (;;) pause();
}
