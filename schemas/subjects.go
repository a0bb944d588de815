package schemas

import "fmt"

// Partitions is how many partitions the request stream has: fixed, because a
// client must stay with one processor.
const Partitions = 8

// The streams of the pipeline.
const (
	StreamRequests  = "WEIR_REQUESTS"
	StreamIngest    = "WEIR_INGEST"
	StreamPanes     = "WEIR_PANES"
	StreamIncidents = "WEIR_INCIDENTS"
	StreamDecisions = "WEIR_DECISIONS"
	StreamDead      = "WEIR_DEAD"
	StreamVitals    = "WEIR_VITALS"
	StreamEdges     = "WEIR_EDGES"
)

// The subjects that the streams hold.
const (
	SubjectRequestsAll  = "weir.requests.>"
	SubjectIngestAll    = "weir.ingest.>"
	SubjectPanesAll     = "weir.panes.>"
	SubjectIncidentsAll = "weir.incidents.>"
	SubjectDecisionsAll = "weir.decisions.>"
	SubjectDeadAll      = "weir.dead.>"
	SubjectVitalsAll    = "weir.vitals.>"
	SubjectEdgesAll     = "weir.edges.>"
	SubjectReportsAll   = "weir.edges.report.>"

	SubjectIncidents = "weir.incidents.events"
	SubjectDecisions = "weir.decisions.delta"
	SubjectSnapshot  = "weir.decisions.snapshot"
)

// MaxMessage bounds one message on NATS, in bytes.
const MaxMessage = 512 << 10

// SubjectRequests is where batches of a partition go.
func SubjectRequests(partition int) string { return fmt.Sprintf("weir.requests.%d", partition) }

// SubjectPanes is where a partition's panes go.
func SubjectPanes(partition int) string { return fmt.Sprintf("weir.panes.%d", partition) }

// SubjectDead is where a sample of the lines that no parser took goes.
func SubjectDead(format string) string { return "weir.dead." + format }

// SubjectKnowledge is where what the detector learns goes, for the counters: 8 bytes of its
// token, and then what processor.Knowledge understands.
const SubjectKnowledge = "weir.panes.knowledge"

// SubjectSignals is where the signals of every site's windows go, as NDJSON of
// SignalRow, every ten seconds.
const SubjectSignals = "weir.panes.signals"

// SubjectVitals is where an edge's vitals go, once a second, as JSON of Vitals.
func SubjectVitals(edge string) string { return "weir.vitals." + edge }

// SubjectEdge is where an edge says what it holds, as JSON of EdgeReport.
func SubjectEdge(edge string) string { return "weir.edges.report." + edge }

// SubjectPanic is where a person lifts everything everywhere, as JSON of Panic.
const SubjectPanic = "weir.edges.panic"

// Headers of the messages of one snapshot.
const (
	HeaderPart  = "Weir-Part"  // counts from 1
	HeaderParts = "Weir-Parts" // how many there are
	HeaderFirst = "Weir-First" // the sequence of the first; none on the first itself
)
