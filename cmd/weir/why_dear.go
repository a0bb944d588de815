package main

import (
	"fmt"
	"strings"

	"github.com/weir-project/weir/schemas/profile"
)

// targetOf is the path and query of a request as evidence has it: "GET /a?b=c | agent".
func targetOf(line string) string {
	request, _, _ := strings.Cut(line, " | ")
	_, target, _ := strings.Cut(request, " ")
	return target
}

// dearOf says how many of some requests are for what costs the application much.
func dearOf(lines []string, app *profile.Profile) string {
	n := 0
	for _, line := range lines {
		if kindOf(app, targetOf(line)) == profile.Dear.String() {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of %d are for what is dear to %s)", n, len(lines), app.Name())
}
