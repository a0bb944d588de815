package main

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor"
)

// TestStrangeHostsAreTroubleWhereTheyLast: people are told after ten minutes, as a new site is known by then, and that it is over.
func TestStrangeHostsAreTroubleWhereTheyLast(t *testing.T) {
	var s strangers
	now := time.Date(2026, 11, 28, 5, 0, 0, 0, time.UTC)
	found := processor.Strange{Rate: 40, All: 50, Hosts: []string{processor.Other, "\x1b[2Jx.example.org"}}
	if len(s.ailing(now)) > 0 {
		t.Error("trouble before anything came")
	}
	for second := 0; second <= 1200; second += 10 {
		at := now.Add(time.Duration(second) * time.Second)
		if second != 300 && second != 310 { // a pause is no end
			s.take(found, at)
		}
		if told := s.ailing(at); (len(told) > 0) != (second >= 600) {
			t.Fatalf("after %d s: %+v", second, told)
		}
	}
	end := now.Add(1200 * time.Second)
	if told := s.ailing(end)[0].What; told != `40.0 of 50.0 requests/s are for hosts that are no site's, for 20m0s now ((other), \x1b[2Jx.example.org): no attack is noticed there, and nothing decided` {
		t.Error(told)
	}
	if told := s.ailing(end.Add(2 * time.Minute)); len(told) > 0 {
		t.Errorf("two minutes after the end: %+v", told)
	}
	s.take(found, end.Add(3*time.Minute))
	if told := s.ailing(end.Add(3 * time.Minute)); len(told) > 0 || strings.Contains(s.found.Hosts[0], "\x1b") {
		t.Errorf("it began anew: %+v", told)
	}
}
