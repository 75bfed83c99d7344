/* Before each access to a cell the limiter may be interrupted: put in front of its sources
 * when they are built for test_limits_interleaved. */
#ifndef RINGWAY_SIM_LIMIT_PAUSE_H
#define RINGWAY_SIM_LIMIT_PAUSE_H

void limit_pause(void);
#define CELL_PAUSE() limit_pause()

#endif
