// Package notify tells people: what happens to their sites, what weir does about it,
// and whether anything is theirs to do.
//
//	events ─┐                         ┌─ outbox of a channel ─▶ Matrix, e-mail, Slack, ...
//	signals ┼─▶ story ─▶ Message ─▶ routes
//	trouble ┘                         └─ outbox of a channel ─▶ ...
//
// The story turns events into few messages: incidents of one attack are one thread, and
// what follows soon is said once. A message waits in the outbox of each channel that it
// is routed to, on disk, until the channel has taken it. The same file holds how far the
// events were read, so that a restart neither repeats nor loses anything: a message is on
// disk before it is sent, with the key by which a channel that can tells it from another.
//
// Everything that a client of a website can choose (a host, an agent, a path) is bounded
// and made inert before it enters a Message, and marked there, so that every channel
// shows it as text: see inert.go.
package notify
