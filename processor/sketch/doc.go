// Package sketch counts what cannot be kept: distinct keys, the entropy of a
// stream of keys, and which keys were seen before. Every structure has a fixed
// bound on its memory whatever the keys are, merges without an order, and knows
// keys only as 64-bit hashes. Callers hash with a secret: whoever knows the hash
// can bend an estimate (Reviriego and Ting, "Security of HyperLogLog", 2020).
package sketch
