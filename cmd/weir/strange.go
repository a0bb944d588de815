package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/weir-project/weir/processor"
)

// sayStrangeAgain is after how long requests for hosts that are no site's are told of again.
const sayStrangeAgain = 5 * time.Minute

// strange tells of many requests for hosts that are no site's. The detector's goroutine alone calls it.
func (r *processing) strange(s processor.Strange) {
	now := time.Now()
	if now.Sub(r.strangeAt) < sayStrangeAgain {
		return
	}
	r.strangeAt = now
	r.log.Warn("many requests are for hosts that are no site's: of one name no attack is noticed there, and nothing decided; have nginx refuse names that it does not know (docs/edges.md), or name the host under sites",
		"hosts", strings.Join(s.Hosts, " "), "requests_per_second", fmt.Sprintf("%.1f", s.Rate), "of", fmt.Sprintf("%.1f", s.All))
}
