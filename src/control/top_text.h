/* Numbers in few letters: three digits and a unit, never more than six columns.
 */
#ifndef RINGWAY_CONTROL_TOP_TEXT_H
#define RINGWAY_CONTROL_TOP_TEXT_H

#define TOP_NUMBER_BYTES 16

/* All of them write "-" for what is not known (a negative number). */
void top_count(char out[static TOP_NUMBER_BYTES], double n);       /* 0.5, 88, 1.23k, 12.3M */
void top_time(char out[static TOP_NUMBER_BYTES], double us);       /* 412us, 1.23ms, 12.3s */
void top_percent(char out[static TOP_NUMBER_BYTES], double share); /* 0.4%, 78%, 100% */
/* "3 h 12 min": takes up to 16 columns. */
void top_uptime(char out[static 32], double s);

#endif
