// Package syslog listens for access-log lines that servers and shippers push: syslog
// over UDP, TCP, TLS, unix datagrams and unix streams, with headers of RFC 3164 as
// nginx, HAProxy, rsyslog and syslog-ng write them or of RFC 5424, framed by newlines
// or by counted octets (RFC 6587), which is found for each connection by itself; and
// plain lines over the same, for what writes no header (Caddy, Vector, netcat).
//
// What can push back does: a stream is not read on while there is no room for its
// lines. What cannot (datagrams) is read as fast as it comes and dropped where memory
// and spool are full, and counted.
package syslog
