// Package simulate makes traffic with known truth: an estate of sites with the
// people, tools, crawlers, monitors and scanners that they normally have, then
// the opening story, an attack of thousands of addresses with a handful of
// requests each, and the applications' answers to all of it.
//
// The traffic model (Traffic) yields visits in the order in which they begin; a
// Visit yields steps of requests and is told the answers, because people reload
// and leave. Run feeds visits to applications of limited capacity and yields log
// records in the order in which nginx would write them: at completion. Play sends
// the same visits somewhere in real time. Score compares verdicts with the truth.
//
// Everything is drawn from one seed: two runs of one Config are equal byte for
// byte, and no draw depends on an answer of another visit.
//
// What a request costs and weighs comes from the resource alone, never from who
// asks, so that nothing gives the bots away that would not in reality: what sets
// them apart is the combination of their headers, their paths and their numbers.
package simulate
