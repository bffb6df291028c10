// Whole streams through the board's spotter and recognizer. Only plain declarations, because Python reads this file too.
#ifndef KWS_STREAM_H_
#define KWS_STREAM_H_

#include <stddef.h>
#include <stdint.h>

// Each of n_streams from a fresh start: a prediction every hop_frames frames.
// at: samples heard at each prediction, the same for all streams; scores: [n_streams][predictions][KWS_LABELS].
// Returns KWS_LABELS, or -1 for a hop of 0.
int kws_stream_hear(const int16_t* samples, size_t n_streams, size_t n_samples, uint16_t hop_frames, uint32_t* at,
                    int8_t* scores);

// What is detected in n predictions of one stream, from a fresh start. at: [n], rising; scores: [n][KWS_LABELS];
// detected: [n][3]: sample, label, score. Returns how many were detected, or -1 for settings out of their range.
int kws_stream_detect(const uint32_t* at, const int8_t* scores, size_t n, uint16_t window_ms, uint16_t suppression_ms,
                      uint8_t threshold, uint8_t minimum_count, uint32_t* detected);

// The averages that are compared with the threshold: [n][KWS_LABELS], 0..255; -1 where they are not trusted yet.
// Returns 0, or -1 for settings out of their range.
int kws_stream_average(const uint32_t* at, const int8_t* scores, size_t n, uint16_t window_ms, uint8_t minimum_count,
                       int16_t* averages);

#endif
