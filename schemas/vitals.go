package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// Vitals are what an edge says of itself, once a second, beside its requests: they
// arrive also while an attack keeps the log silent. Counts are of Interval; what the
// edge does not know is absent.
type Vitals struct {
	Time     time.Time `json:"time"`
	Edge     string    `json:"edge"`
	Interval float64   `json:"interval"` // seconds; 0 in the first ones after a start: then counts are 0

	Nginx  *NginxVitals  `json:"nginx,omitempty"`
	Listen []ListenQueue `json:"listen,omitempty"` // the fullest first

	ListenOverflows uint64 `json:"listen_overflows"` // connections refused because a queue was full
	ListenDrops     uint64 `json:"listen_drops"`     // connections dropped before they were accepted, those included
	Syncookies      uint64 `json:"syncookies"`       // sent, because a queue of half-open connections was full
	Sockets         int64  `json:"sockets"`          // of TCP, in use
	TimeWait        int64  `json:"time_wait"`        // of TCP, closed and remembered
	Conntrack       int64  `json:"conntrack"`        // connections that the firewall tracks
	ConntrackMax    int64  `json:"conntrack_max"`

	Interfaces []InterfaceVitals `json:"interfaces,omitempty"`

	Load            float64 `json:"load"` // of the last minute
	Cores           int     `json:"cores"`
	MemoryTotal     int64   `json:"memory_total"`     // bytes
	MemoryAvailable int64   `json:"memory_available"` // bytes
	CPUPressure     float64 `json:"cpu_pressure"`     // share of the last ten seconds in which something waited for it
	MemoryPressure  float64 `json:"memory_pressure"`
	IOPressure      float64 `json:"io_pressure"`
}

// NginxVitals are of nginx's stub_status.
type NginxVitals struct {
	Answered bool   `json:"answered"` // within half a second; else nothing of it is known
	Active   int64  `json:"active"`   // connections
	Reading  int64  `json:"reading"`  // of these: a request's header is being read
	Writing  int64  `json:"writing"`  // a request is being answered
	Waiting  int64  `json:"waiting"`  // for a further request
	Accepted uint64 `json:"accepted"` // connections
	Handled  uint64 `json:"handled"`  // connections: fewer than accepted where there were too many
	Requests uint64 `json:"requests"` // begun
}

// ListenQueue is the queue of connections that are established and wait to be accepted.
type ListenQueue struct {
	Address string `json:"address"` // host:port
	Waiting int64  `json:"waiting"`
	Most    int64  `json:"most"` // that may wait
}

// InterfaceVitals are of one network interface.
type InterfaceVitals struct {
	Name            string `json:"name"`
	ReceivedBytes   uint64 `json:"received_bytes"`
	ReceivedPackets uint64 `json:"received_packets"`
	ReceivedDropped uint64 `json:"received_dropped"`
	SentBytes       uint64 `json:"sent_bytes"`
	SentPackets     uint64 `json:"sent_packets"`
	SentDropped     uint64 `json:"sent_dropped"`
}

// Bounds of vitals: the edge cuts its lists, a reader refuses what is beyond.
const (
	MaxListen     = 32
	MaxInterfaces = 32
	maxVitals     = 32 << 10 // bytes, encoded
)

// EncodeVitals makes the message.
func EncodeVitals(v *Vitals) ([]byte, error) {
	v.Listen, v.Interfaces = v.Listen[:min(len(v.Listen), MaxListen)], v.Interfaces[:min(len(v.Interfaces), MaxInterfaces)]
	return json.Marshal(v)
}

// DecodeVitals reads one. The edge's name fits SubjectVitals.
func DecodeVitals(message []byte) (*Vitals, error) {
	if len(message) > maxVitals {
		return nil, fmt.Errorf("vitals of %d bytes, at most %d", len(message), maxVitals)
	}
	var v Vitals
	if err := json.Unmarshal(message, &v); err != nil {
		return nil, fmt.Errorf("vitals: %w", err)
	}
	switch {
	case v.Edge == "" || len(v.Edge) > MaxSite:
		return nil, errors.New("vitals: no edge's name")
	case v.Time.Year() < 2000 || v.Time.Year() > 2200:
		return nil, errors.New("vitals: no time")
	case len(v.Listen) > MaxListen || len(v.Interfaces) > MaxInterfaces:
		return nil, errors.New("vitals: too many sockets or interfaces")
	case !(v.Interval >= 0) || math.IsInf(v.Interval, 0) || v.Cores < 0:
		return nil, errors.New("vitals: a number out of range")
	}
	return &v, nil
}
