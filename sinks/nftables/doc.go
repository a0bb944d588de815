// Package nftables makes an edge of this machine's firewall, for floods that nginx
// should not even have to refuse: packets of blocked clients and prefixes to the sites'
// ports are dropped before a connection is made.
//
//	Apply, Replace ─▶ book ─▶ Run ─▶ table weir          clients: a hash set, timeouts
//	                                 table weir_prefixes  networks: an interval set, small
//	                                    └─ sampled counters ─▶ Options.Seen
//
// One more element of a hash set of 500,000 takes milliseconds, of an interval set
// minutes: hence two tables. Every element has a timeout of the lease at most, which Run
// moves before it ends: where weir is gone, the kernel lets go by itself. What is dropped
// is in no log, so a part of it is counted by client and handed on: otherwise an attack
// would seem to be over as soon as it is stopped.
//
// A firewall sees who connects: behind a CDN that is the CDN. New refuses that.
package nftables
