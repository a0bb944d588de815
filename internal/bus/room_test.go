package bus

import "testing"

func TestRoomAfter(t *testing.T) {
	for _, c := range []struct {
		room  Room
		after uint64
		want  float64
	}{
		{Room{}, 0, 0}, {Room{1, 100, 0.5}, 0, 0.5}, {Room{1, 100, 0.5}, 50, 0.25}, {Room{1, 100, 0.5}, 100, 0}, {Room{1, 100, 0.5}, 500, 0},
		{Room{101, 200, 1}, 0, 1}, {Room{101, 200, 1}, 100, 1}, {Room{101, 200, 1}, 150, 0.5},
	} {
		if got := c.room.After(c.after); got != c.want {
			t.Errorf("%+v after %d: %v, want %v", c.room, c.after, got, c.want)
		}
	}
}
