package window

// Bounds of what makes the times of a source doubtful, in ms and rows.
const (
	doubtBlock = 40_000      // of a block that is judged: longer than a clock takes to be corrected
	doubtWild  = 8           // rows in it at least that are wild
	doubtShare = 1.0 / 32    // of its rows, from which on the source is doubted
	doubtUntil = 1.0 / 128   // below which it is not any more, after doubtRows
	doubtRows  = 64          // rows that clear a source
	wildBehind = 30 * 60e3   // behind event time; a log that gives when a request began is so late rarely
	wildAhead  = far         // ahead of it
	runBacklog = runMany / 4 // rows in a row that show that a source catches up
)

// doubt is how many of a source's rows have times that fit nothing and that no correction
// mends: a clock that stands still, jumps to and fro, or says anything at times. Such rows count
// as of when they come, so that they hurt nobody; but somebody must be told.
type doubt struct {
	Rows  int     `json:"rows,omitempty"`
	Wild  int     `json:"wild,omitempty"`
	Since int64   `json:"since,omitempty"` // when the block began, by the server's clock where it is known, else event time
	From  int64   `json:"from,omitempty"`  // the time of its first row
	Share float64 `json:"share,omitempty"` // of rows that are wild, as it was judged; 0 where the source is not doubted
}

// weigh takes so many rows, the last of the time at, of which some are wild, at event time
// latest; arrived is when they came by the server's clock, 0 where that is not known.
func (l *Line) weigh(rows, wild int, at, latest, arrived int64) {
	d, now := &l.doubt, arrived
	if arrived == 0 {
		now = latest
	}
	if d.Since == 0 || now < d.Since {
		*d = doubt{Since: now, From: at, Share: d.Share}
	}
	d.Rows += rows
	d.Wild += wild
	if now-d.Since < doubtBlock || d.Wild < doubtWild && d.Rows < doubtRows {
		return
	}
	share := float64(d.Wild) / float64(d.Rows)
	switch {
	case l.backlog(latest):
		share = 0
	case arrived > 0 && max(now-at, at-now) > far && at >= d.From && 2*(at-d.From) < now-d.Since: // it stands still
		share = 1
	case d.Wild < doubtWild || share < doubtUntil || share < doubtShare && d.Share == 0:
		share = 0
	}
	*d = doubt{Since: now, From: at, Share: share}
}

// backlog reports whether the line's strange rows are of one, at event time latest: they come on
// at more than twice the pace of the others.
func (l *Line) backlog(latest int64) bool {
	return l.strange >= runBacklog && !l.early && l.last-l.first > 2*(latest-l.began)
}
