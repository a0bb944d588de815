package clickhouse

import (
	"context"

	"github.com/weir-project/weir/schemas"
)

const vitalsColumns = "time, edge, interval, nginx_answered, nginx_active, nginx_reading, nginx_writing, nginx_waiting, nginx_accepted, nginx_requests, " +
	"listen_waiting, listen_overflows, listen_drops, syncookies, sockets, time_wait, conntrack, conntrack_max, " +
	"received_bytes, received_packets, received_dropped, sent_bytes, sent_packets, load, cores, memory_total, memory_available, " +
	"cpu_pressure, memory_pressure, io_pressure"

// RecordVitals stores how edges are. Storing the same again changes nothing. One
// attempt: the caller tries again.
func (db *DB) RecordVitals(ctx context.Context, vitals []*schemas.Vitals) error {
	return record(ctx, db, "vitals", vitalsColumns, "", vitals, vitalsRow)
}

func vitalsRow(v *schemas.Vitals) ([]any, error) {
	var nginx schemas.NginxVitals
	var answered *bool
	if v.Nginx != nil {
		nginx = *v.Nginx
		answered = &nginx.Answered
	}
	waiting := int64(0)
	for _, q := range v.Listen {
		waiting += q.Waiting
	}
	var all schemas.InterfaceVitals
	for _, i := range v.Interfaces {
		all.ReceivedBytes += i.ReceivedBytes
		all.ReceivedPackets += i.ReceivedPackets
		all.ReceivedDropped += i.ReceivedDropped
		all.SentBytes += i.SentBytes
		all.SentPackets += i.SentPackets
	}
	return []any{
		clamp(v.Time), v.Edge, float32(v.Interval), answered, nginx.Active, nginx.Reading, nginx.Writing, nginx.Waiting, nginx.Accepted, nginx.Requests,
		waiting, v.ListenOverflows, v.ListenDrops, v.Syncookies, v.Sockets, v.TimeWait, v.Conntrack, v.ConntrackMax,
		all.ReceivedBytes, all.ReceivedPackets, all.ReceivedDropped, all.SentBytes, all.SentPackets, float32(v.Load), uint16(min(v.Cores, 1<<16-1)),
		v.MemoryTotal, v.MemoryAvailable, float32(v.CPUPressure), float32(v.MemoryPressure), float32(v.IOPressure),
	}, nil
}
