package query

import "strings"

// Column says how a column of an answer is shown, wherever it stands. Units are Grafana's.
type Column struct {
	Unit  string // "" is as it is
	Title string // "" is the column's name with spaces
	About string // one sentence
}

// Columns are those that answers have: one word means one thing in every panel.
func Columns() map[string]Column {
	return map[string]Column{
		"time":           {About: "When."},
		"site":           {About: "The virtual host."},
		"kind":           {About: "What the incident is; empty: none is open."},
		"incident":       {About: "The incident's id."},
		"opened":         {Unit: "dateTimeAsIso", About: "When it was noticed."},
		"closed":         {Unit: "dateTimeAsIso", About: "When it was over; empty: it goes on."},
		"since":          {Unit: "dateTimeAsIso", About: "When the open incident was noticed."},
		"lasts":          {Unit: "s", About: "From opening to closing, or to now."},
		"cause":          {About: "What weir takes to be the cause, in a sentence."},
		"requests":       {Unit: "short", About: "Requests in the time shown."},
		"requests_rate":  {Unit: "reqps", Title: "requests/s", About: "Requests a second."},
		"normal_rate":    {Unit: "reqps", Title: "normally", About: "Requests a second that are normal at this hour."},
		"score":          {Unit: "none", Title: "above normal", About: "By how many spreads the rate lies above what is normal."},
		"served":         {Unit: "reqps", About: "Requests a second that were answered as they should be."},
		"failed":         {Unit: "reqps", About: "Requests a second that ended with 5xx, or whose client gave up (499)."},
		"stopped":        {Unit: "reqps", About: "Requests a second that an edge stopped."},
		"unserved_share": {Unit: "percentunit", Title: "visitors failing", About: "Of the requests that were let through, the share that failed."},
		"stopped_share":  {Unit: "percentunit", Title: "stopped", About: "The share of all requests that an edge stopped."},
		"clients":        {Unit: "short", About: "Distinct clients."},
		"per_client":     {Unit: "short", Title: "requests per client", About: "Requests of a client, on average."},
		"not_found":      {Unit: "percentunit", Title: "not found", About: "The share answered with 404 or 410."},
		"trait":          {About: "Which property of a request."},
		"value":          {About: "The value."},
		"share_before":   {Unit: "percentunit", Title: "before", About: "Its share of the requests in the half hour before."},
		"share_during":   {Unit: "percentunit", Title: "during", About: "Its share of the requests in the time asked about."},
		"bits":           {Unit: "none", About: "What one request with it says, in bits: log2 of how much more frequent it has become. 3 and more is telling."},
		"decision":       {About: "The decision's id."},
		"action":         {About: "What edges do: throttle, challenge or block; allow: nothing touches it."},
		"scope":          {About: "What it is about: client, prefix, signature or site."},
		"expires":        {Unit: "dateTimeAsIso", About: "When it ends, unless it is renewed."},
		"left":           {Unit: "s", About: "Seconds until it ends."},
		"collateral":     {Unit: "percentunit", About: "At most this share of the site's people would be touched (95 % bound)."},
		"people_hour":    {Unit: "short", Title: "people/h", About: "The same as people an hour."},
		"matched":        {Unit: "short", About: "Requests that it matched in the time shown."},
		"probes":         {Unit: "short", About: "Requests that it matched and let through, to see whom it hurts."},
		"reason":         {About: "Why, in a sentence."},
		"origin":         {About: "weir, or the person who took it."},
		"sites":          {About: "The sites that it is on; empty: all."},
		"edge":           {About: "The server."},
		"part":           {About: "What holds the decisions there."},
		"intended":       {Unit: "short", About: "Decisions that it should hold, of those that it can."},
		"loaded":         {Unit: "short", About: "Decisions that it holds."},
		"missing":        {Unit: "short", About: "Intended and not loaded: more than 0 for long is trouble."},
		"refused":        {Unit: "short", About: "Decisions that it cannot carry."},
		"matching":       {Unit: "short", About: "Requests or packets that it stopped since it started, where it knows."},
		"loads":          {Unit: "short", About: "How often it was brought up to date since it started."},
		"loaded_at":      {Unit: "dateTimeAsIso", Title: "last load", About: "When it was brought up to date last."},
		"load_seconds":   {Unit: "s", Title: "load took", About: "How long that took: of nginx writing, testing and reloading."},
		"what":           {About: "trait, sample (a request that it matches) or nearest (the normal request that comes closest)."},
		"text":           {About: "The request, or the trait's value, as it was sent."},
		"attack_share":   {Unit: "percentunit", Title: "of the attack", About: "The share of the attack's requests that have it."},
		"normal_share":   {Unit: "percentunit", Title: "of normal traffic", About: "The share of normal requests that have it."},
		"from":           {About: "The first of the sixteen blocks of the row: 192 is 192.0.0.0/8."},
		"lease":          {Unit: "dateTimeAsIso", About: "Until when it enforces without hearing from weir."},
		"reported":       {Unit: "dateTimeAsIso", About: "When it last said how it is."},
		"silent":         {Unit: "s", About: "For how long it has said nothing."},
		"off":            {About: "Whether enforcing is switched off there."},
		"error":          {About: "What it says is wrong."},
		"network":        {About: "The network."},
		"client":         {About: "The address."},
		"duration":       {Unit: "s", About: "From the first byte read to the last sent."},
		"bytes":          {Unit: "bytes", About: "Of the answers' bodies."},
		"number":         {About: "Which number of the pipeline."},
		"unit":           {About: "What it is counted in."},
		"about":          {About: "What it says."},
		"storing_lag":    {Unit: "s", Title: "stored after", About: "From a request's time to when it was stored, at most."},
		"stored":         {Unit: "reqps", About: "Requests a second that were stored or counted."},
		"status":         {About: "The answer's status."},
		"median_seconds": {Unit: "s", Title: "median", About: "Half of the answers took longer."},
		"p95_seconds":    {Unit: "s", Title: "slowest 5 %", About: "One answer in twenty took longer."},
	}
}

// measure is a number over time: the SQL of a bucket, and its unit.
type measure struct{ sql, unit string }

// numbers are those of the kinds that have a table of their own for them; %[1]s is the
// bucket's seconds.
var numbers = map[Kind]map[string]measure{
	Vitals: {
		"nginx_active":     {"avg(v.nginx_active)", "short"},
		"nginx_reading":    {"avg(v.nginx_reading)", "short"},
		"nginx_writing":    {"avg(v.nginx_writing)", "short"},
		"nginx_waiting":    {"avg(v.nginx_waiting)", "short"},
		"nginx_accepted":   {"sum(v.nginx_accepted) / greatest(sum(v.interval), 1)", "cps"},
		"nginx_requests":   {"sum(v.nginx_requests) / greatest(sum(v.interval), 1)", "reqps"},
		"listen_waiting":   {"max(v.listen_waiting)", "short"},
		"listen_overflows": {"sum(v.listen_overflows) / greatest(sum(v.interval), 1)", "cps"},
		"syncookies":       {"sum(v.syncookies) / greatest(sum(v.interval), 1)", "cps"},
		"sockets":          {"avg(v.sockets)", "short"},
		"conntrack_share":  {"max(v.conntrack / greatest(v.conntrack_max, 1))", "percentunit"},
		"received":         {"sum(v.received_bytes) / greatest(sum(v.interval), 1)", "Bps"},
		"sent":             {"sum(v.sent_bytes) / greatest(sum(v.interval), 1)", "Bps"},
		"received_dropped": {"sum(v.received_dropped) / greatest(sum(v.interval), 1)", "pps"},
		"load":             {"avg(v.load / greatest(v.cores, 1))", "percentunit"},
		"memory_used":      {"avg(1 - v.memory_available / greatest(v.memory_total, 1))", "percentunit"},
		"cpu_pressure":     {"avg(v.cpu_pressure)", "percentunit"},
		"memory_pressure":  {"avg(v.memory_pressure)", "percentunit"},
		"io_pressure":      {"avg(v.io_pressure)", "percentunit"},
	},
	Figures: {
		"weir_memory":       {"avgOrNullIf(f.value, f.name = 'weir_memory')", "bytes"},
		"nats_memory":       {"avgOrNullIf(f.value, f.name = 'nats_memory')", "bytes"},
		"nats_disk":         {"avgOrNullIf(f.value, f.name = 'nats_disk')", "bytes"},
		"clickhouse_memory": {"avgOrNullIf(f.value, f.name = 'clickhouse_memory')", "bytes"},
		"clickhouse_disk":   {"avgOrNullIf(f.value, f.name = 'clickhouse_disk')", "bytes"},
		"collector_lag":     {"maxOrNullIf(f.value, f.name = 'collector_lag')", "s"},
		"detector_lag":      {"maxOrNullIf(f.value, f.name = 'detector_lag')", "s"},
		"load_seconds":      {"maxOrNullIf(f.value, f.name = 'load_seconds')", "s"},
		"loaded":            {"avgOrNullIf(f.value, f.name = 'loaded')", "short"},
		"missing":           {"maxOrNullIf(f.value, f.name = 'missing')", "short"},
		"loads":             {"sumOrNullIf(f.value, f.name = 'loads') / %[1]s", "ops"},
		"matched":           {"sumOrNullIf(f.value, f.name = 'matched') / %[1]s", "reqps"},
		"lines":             {"sumOrNullIf(f.value, f.name = 'lines') / %[1]s", "ops"},
		"processed":         {"sumOrNullIf(f.value, f.name = 'processed') / %[1]s", "reqps"},
		"lines_refused":     {"sumOrNullIf(f.value, f.name = 'lines_refused') / %[1]s", "ops"},
		"listener_dropped":  {"sumOrNullIf(f.value, f.name = 'listener_dropped') / %[1]s", "ops"},
		"bus_lost":          {"sumOrNullIf(f.value, f.name = 'bus_lost') / %[1]s", "ops"},
		"late_requests":     {"sumOrNullIf(f.value, f.name = 'late_requests') / %[1]s", "reqps"},
		"store_retries":     {"sumOrNullIf(f.value, f.name = 'store_retries') / %[1]s", "ops"},
	},
}

// SignalUnit is the unit of a signal.
func SignalUnit(name string) string {
	switch {
	case name == "request_rate":
		return "reqps"
	case strings.HasSuffix(name, "_entropy"):
		return "none"
	case strings.HasPrefix(name, "latency_"):
		return "s"
	case strings.HasSuffix(name, "_share"):
		return "percentunit"
	}
	switch name {
	case "missing_page_clients", "unknown_path_clients", "unfamiliar_clients", "bare_clients", "declared_clients":
		return "percentunit"
	}
	return "short"
}

// NumberUnit is the unit of a number over time of a kind; false where the kind has no such.
func NumberUnit(kind Kind, column string) (string, bool) {
	m, ok := numbers[kind][column]
	return m.unit, ok
}
