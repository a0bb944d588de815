// Package demo is what `weir demo` needs around weir itself: a real nginx with a
// little application of limited capacity behind it, the visitors and the botnet
// that ask it for pages, and the scoreboard that says by truth what became of
// every request.
//
//	Traffic ──HTTP, X-Forwarded-For──▶ Nginx ──proxy──▶ App
//	   │                                 │               │
//	   │ sent, answered                  │ access.log    │ reached
//	   ▼                                 ▼               ▼
//	Scoreboard ◀─────────────────────  weir        Scoreboard
//
// Everything listens on loopback alone. Every request carries a ticket in the
// header TicketHeader, which nginx passes on and does not log: weir sees nothing
// of it, and the scoreboard needs no guess about who reached the application.
//
// The order of a demo: NewScoreboard, NewApp and App.Listen, NewNginx and
// Nginx.Write, then App.Run and Nginx.Run side by side, wait for Nginx.Ready,
// start weir, Traffic.Run; then Scoreboard.Report.
package demo
