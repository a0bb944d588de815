// Package lapi makes an edge of everything that speaks the bouncer's side of the
// CrowdSec local API: firewalls, HAProxy, Caddy, Traefik, nginx with Lua, and more.
//
//	Apply, Replace ─▶ table ─▶ snapshot, delta ─▶ GET /v1/decisions/stream, /v1/decisions
//	                                keys (file) ──┘    POST /v1/usage-metrics ─▶ Bouncers
//
// The protocol knows addresses and networks alone: signatures and sites stay with
// edges that can tell them. It knows no sites: a key may name those that its bouncer
// guards, and is then given what is for one of them or for all.
package lapi
