package processor

import (
	"github.com/weir-project/weir/processor/sketch"
	"github.com/weir-project/weir/schemas"
)

// Knowledge is what the Detector has learned of the sites and a Counter needs to mark
// clients by. Not for concurrent use.
type Knowledge struct {
	sites map[string]*siteKnowledge
}

// siteKnowledge is that of one site.
type siteKnowledge struct {
	known     *sketch.Seen // paths served in normal traffic
	familiar  *sketch.Seen // client programs of at least two normal clients
	decisions []*decision  // in force, of this and earlier incidents
	troubled  int64        // unix second in which the open incident began, 0 where there is none
}

// NewKnowledge knows nothing yet.
func NewKnowledge() *Knowledge { return &Knowledge{sites: make(map[string]*siteKnowledge)} }

// of is what is known of a site; there are as many as sites.
func (k *Knowledge) of(name string) *siteKnowledge {
	s, ok := k.sites[name]
	if !ok {
		s = &siteKnowledge{known: sketch.NewSeen(knownMax), familiar: sketch.NewSeen(familiarMax)}
		k.sites[name] = s
	}
	return s
}

// infer is what an edge did to a request whose log does not say: where a decision
// in force matches and the answer is one that edges give to stopped requests.
func (k *siteKnowledge) infer(r *schemas.Request) schemas.Action {
	if len(k.decisions) == 0 || r.Status != 403 && r.Status != 429 && r.Status != 503 && r.Status != 444 {
		return schemas.Allow
	}
	var scratch []byte
	for _, d := range k.decisions {
		match := false
		if d.signature != nil {
			match, scratch = d.signature.Match(r, scratch)
		} else {
			match = d.Value == schemas.ClientOf(r.Client).String()
		}
		if match {
			return d.Action
		}
	}
	return schemas.Allow
}
