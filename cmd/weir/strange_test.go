package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/weir-project/weir/processor"
)

// TestStrangeHostsAreSaid: requests for hosts that are no site's are told of with the hosts, once in a while, and a host
// is nothing but a value in it, whatever it is.
func TestStrangeHostsAreSaid(t *testing.T) {
	var told bytes.Buffer
	r := &processing{log: slog.New(slog.NewTextHandler(&told, nil))}
	for range 9 {
		r.strange(processor.Strange{Rate: 17.04, All: 18.5, Hosts: []string{"192.0.2.7", "a\nlevel=ERROR msg=x"}})
	}
	text := told.String()
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, `hosts="192.0.2.7 a\nlevel=ERROR msg=x" requests_per_second=17.0 of=18.5`) {
		t.Errorf("said %q", text)
	}
}
