// Package nginx puts the decisions in force into a stock nginx (1.18 and later),
// as included files of maps over nginx's own variables: no module, no socket, no
// process in the path of a request.
//
// It owns one directory, which only it writes:
//
//	http.conf         for a person to include once in http { }
//	server.conf       for a person to include in each server { }
//	current.conf      what counts now: the lease, and which version of the lists
//	decisions-*.conf  one version of the maps; named by its content
//	clients*-*.list   one version of the addresses; named by its content
//
// Files other than current.conf never change under their name, so that nginx's
// own binary copy beside a large list is never older than the list, and a
// switch from one version to the next is one rename.
//
// Render is a pure function from decisions to files. Enforcer keeps the
// directory and the running nginx up to date. Every decision is gated by a lease
// that Enforcer renews while it lives: with weir dead, the edge lets go of its
// decisions by itself when the lease ends. Everything in a decision that an
// attacker can choose is matched exactly or not at all: a value that cannot be
// carried safely is refused, counted and reported, never approximated.
package nginx
