package simulate

// queue is a binary heap of things that happen at a time; ties go by the order of
// insertion, so that a run is reproducible.
type queue[T any] struct {
	items []queued[T]
	count uint64
}

type queued[T any] struct {
	at    int64
	order uint64
	what  T
}

func (q *queue[T]) less(i, j int) bool {
	a, b := &q.items[i], &q.items[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (q *queue[T]) push(at int64, what T) {
	q.count++
	q.items = append(q.items, queued[T]{at, q.count, what})
	for i := len(q.items) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.less(i, up) {
			break
		}
		q.items[i], q.items[up] = q.items[up], q.items[i]
		i = up
	}
}

// next is the time of the first thing, if there is one.
func (q *queue[T]) next() (at int64, ok bool) {
	if len(q.items) == 0 {
		return 0, false
	}
	return q.items[0].at, true
}

func (q *queue[T]) pop() (at int64, what T) {
	top, last := q.items[0], len(q.items)-1
	q.items[0] = q.items[last]
	q.items[last] = queued[T]{}
	q.items = q.items[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && q.less(down+1, down) {
			down++
		}
		if !q.less(down, i) {
			break
		}
		q.items[i], q.items[down] = q.items[down], q.items[i]
		i = down
	}
	return top.at, top.what
}
