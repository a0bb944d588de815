package main

import (
	"fmt"
	"strings"

	"github.com/weir-project/weir/schemas"
)

const (
	// undecidedSites is of how many sites it is said why nothing is decided there, or no more.
	undecidedSites = 3
	// undecidedRunes is how long that may be.
	undecidedRunes = 800
)

// undecidedLines say why nothing is decided on the sites of an incident, or no more though much is left; none where that is not
// so, or it is no attack.
func undecidedLines(e *schemas.Event) (lines []string) {
	for i := range e.Undecided {
		if i == undecidedSites {
			return append(lines, fmt.Sprintf("And on %s more: --output json has them.", plural(len(e.Undecided)-i, "site")))
		}
		u := &e.Undecided[i]
		on := u.On(printable(u.Site, 80))
		lines = append(lines, fmt.Sprintf("%s: %s.", strings.ToUpper(on[:1])+on[1:], printable(u.Why, undecidedRunes)))
	}
	return lines
}
