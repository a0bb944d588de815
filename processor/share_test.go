package processor

import "testing"

// TestWindowsThatCannotBeWholeGetLess takes a rate of steps to the bound on windows.
func TestWindowsThatCannotBeWholeGetLess(t *testing.T) {
	const minute = windowBytes / 10
	var s share
	var added int64
	for i, step := range []struct {
		add  int64 // bytes in a minute
		want int
	}{
		{0, windowBytes},
		{minute * 98 / 100, windowBytes}, // ten of these fit
		{minute * 105 / 100, windowBytes},
		{minute * 120 / 100, windowLess},
		{minute * 105 / 100, windowLess}, // nearly: no to and fro
		{minute * 98 / 100, windowBytes},
		{minute * 300 / 100, windowLess},
		{0, windowBytes},
	} {
		added += step.add
		if got := s.next(int64(60*(i+1)), added); got != step.want {
			t.Errorf("minute %d, %d bytes more: %d, want %d", i, step.add, got, step.want)
		}
	}
	var young share
	if got := young.next(0, 0); got != windowBytes {
		t.Errorf("before anything: %d", got)
	}
	if got := young.next(0, 1<<40); got != windowBytes {
		t.Errorf("the same second again: %d", got)
	}
}
