package statuspage

// State is a component's, in the words of the common status-page form, and Unknown.
type State string

// The states.
const (
	Operational State = "operational"
	Degraded    State = "degraded_performance"
	Partial     State = "partial_outage"
	Major       State = "major_outage"
	Maintenance State = "under_maintenance"
	Unknown     State = "unknown"
)

// Thresholds of a measured state: shares of visitors.
const (
	majorBelow   = 0.50 // served
	partialBelow = 0.95
	slowBelow    = 0.99 // served, or
	fastBelow    = 0.90 // fast, of those served
)

// stateOf is the state that shares of visitors mean, both 0 to 1; fast is of all.
func stateOf(served, fast float64) State {
	switch {
	case served < majorBelow:
		return Major
	case served < partialBelow:
		return Partial
	case served < slowBelow || fast < fastBelow*served:
		return Degraded
	}
	return Operational
}

// rank orders states by how much a reader must know of them.
func (s State) rank() int {
	switch s {
	case Operational:
		return 0
	case Maintenance:
		return 1
	case Unknown:
		return 2
	case Degraded:
		return 3
	case Partial:
		return 4
	case Major:
		return 5
	}
	return 2
}

func worse(a, b State) State {
	if b.rank() > a.rank() {
		return b
	}
	return a
}

// Impact is how bad an incident is for the public, in the words of the common form.
type Impact string

// The impacts.
const (
	NoImpact Impact = "none"
	Minor    Impact = "minor"
	Serious  Impact = "major"
	Critical Impact = "critical"
)

// Valid reports whether there is such an impact.
func (i Impact) Valid() bool {
	return i == NoImpact || i == Minor || i == Serious || i == Critical
}

// state is what an impact says of its components.
func (i Impact) state() State {
	switch i {
	case Minor:
		return Degraded
	case Serious:
		return Partial
	case Critical:
		return Major
	}
	return Operational
}

// impactOf is the impact of a measured state.
func impactOf(s State) Impact {
	switch s {
	case Degraded, Unknown:
		return Minor
	case Partial:
		return Serious
	case Major:
		return Critical
	}
	return NoImpact
}

// indicator is the whole page's state in the common form. Where nothing is known it
// says so, and not "none", which readers take for up.
func indicator(s State) string {
	switch s {
	case Degraded:
		return "minor"
	case Partial:
		return "major"
	case Major:
		return "critical"
	case Maintenance:
		return "maintenance"
	case Unknown:
		return "unknown"
	}
	return "none"
}
