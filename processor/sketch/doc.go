// Package sketch counts what cannot be kept: distinct keys, the heavy keys and the
// entropy of a stream of keys, quantiles, and which keys were seen before. Every
// structure has a fixed bound on its memory whatever the keys are, merges without an
// order, and knows keys only as 64-bit hashes. Callers hash with a secret: whoever
// knows the hash can bend an estimate (Reviriego and Ting, "Security of HyperLogLog",
// 2020).
//
// All have a versioned binary form. AppendBinary writes it, the same bytes for the same
// content; UnmarshalBinary replaces the content by it, or refuses it with ErrMalformed
// and leaves the sketch empty; MergeBinary adds it as Merge would, without making a
// sketch of it first. Of the last two each checks all it reads, but MergeBinary may have
// merged a part of what it then refuses.
//
// Nothing here is for concurrent use. docs/sketches.md has what each was measured to be
// worth.
package sketch
