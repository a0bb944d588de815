package nginx

import (
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// Machines has no measure on a whole site touch what machines call there, by site, until it
// is called again. Of a list the first rule that matches counts. What it is given is not
// changed after.
func (e *Enforcer) Machines(rules map[string][]profile.Rule) {
	e.mutex.Lock()
	e.machines = rules
	for _, m := range e.intended {
		if m.Scope == schemas.ScopeSite { // nothing else depends on them
			e.dirty = true
			e.released++
			break
		}
	}
	e.mutex.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
