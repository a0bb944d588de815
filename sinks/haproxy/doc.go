// Package haproxy keeps a map of a running HAProxy (2.4 and later) at the decisions on
// clients and prefixes, by its runtime API: nothing is reloaded.
//
//	Apply, Replace ─▶ Run ─▶ prepare map, add map @version ..., commit map   one switch
//	                    ├──▶ the file that HAProxy reads when it starts
//	                    └──▶ the lease, an entry of the same map
//
// A map's entries do not expire: each says until when it counts, and all count only
// within the lease, which Run moves while it lives. With weir dead HAProxy lets go by
// itself. Snippet is what HAProxy's configuration needs.
package haproxy
