// Package statuspage is what the public is told: a static page (HTML without
// scripts, an Atom feed, JSON) in a folder and at places that do not go down with the
// sites.
//
//	signals ─▶ Ledger (90 days, per site) ─┐
//	incidents ─▶ drafts ─▶ a person ─▶ posts ├─▶ files ─▶ folder, S3, SFTP, Git
//	                 (or after N minutes)  ─┘
//
// Words are a person's decision: weir drafts, and publishes by itself only where the
// owner says after how long. A draft is made of the names that the owner gave to the
// sites, of times, and of fixed texts: nothing that a client sent can stand in it, nor
// what weir recognises an attack by.
//
// # Served
//
// A request counts as a visitor's where no edge stopped it. It is served where it was
// not answered with 5xx and the visitor did not give up waiting (499); fast where that
// took at most five seconds. Visitors whom a measure may have refused are not seen in
// that: of the visitors, the upper bound of the collateral of what is in force is
// counted as not served, at most the owner's budget. Each window of ten seconds counts
// with as many visitors as came through, at most with as many requests as are normal at
// that hour: a botnet that comes through must not count as visitors. A window in which
// nobody came says nothing, and a time of which weir has seen nothing is no data, never
// up.
package statuspage
