// Package clients remembers who came: one record of 128 bytes for every client (an
// IPv4 address or an IPv6 /64), with what telling visitors from attackers needs of it.
//
// The table is bounded, and what is forgotten when it is full is decided so that a
// flood of addresses that were never seen before pushes out itself: see Table.
package clients
