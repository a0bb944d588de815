package schemas

import "time"

// Figure is one number of how weir itself is, at a time.
type Figure struct {
	Time    time.Time
	Name    string  // "weir_memory", "lines_refused", "load_seconds", ...
	Process string  // an edge, "nats", "clickhouse", or the weir that stores
	Part    string  // of an edge what holds decisions there; else empty
	Value   float64 // bytes, seconds or decisions; of what is counted, how many since the last
}
