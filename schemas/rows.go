package schemas

import "net/netip"

// Rows walks the rows of a batch without allocating per row. It may be reused
// for another batch with Reset.
type Rows struct {
	batch  *Batch
	texts  [][]byte
	next   int
	time   int64
	same   Request // what all rows have alike
	varies uint32  // columns of strings that are not, a bit each
}

// Reset starts at the first row of a batch that DecodeBatch returned or a
// Builder built.
func (r *Rows) Reset(b *Batch) {
	r.batch, r.next, r.time = b, 0, 0
	r.texts = r.texts[:0]
	at := 0
	for _, n := range b.StringLengths {
		r.texts = append(r.texts, b.Strings[at:at+int(n):at+int(n)])
		at += int(n)
	}
	r.findSame()
}

// findSame tells columns apart in which all rows say the same, most of them in most batches, from the others.
func (r *Rows) findSame() {
	b := r.batch
	r.same, r.varies = Request{Fields: Fields(b.Fields), Weight: uint32(b.Weight)}, 0
	columns, fields := b.textColumns(), r.same.textFields()
	for c := range columns {
		if column := *columns[c]; len(column) > 0 && isSame(column) {
			*fields[c] = r.texts[column[0]]
		} else {
			r.varies |= 1 << c
		}
	}
}

// isSame reports whether each value is as the one before it.
func isSame(column []uint32) bool {
	const many = 64 // are compared at once
	for len(column) > many {
		if [many]uint32(column) != [many]uint32(column[1:]) {
			return false
		}
		column = column[many:]
	}
	for _, v := range column {
		if v != column[0] {
			return false
		}
	}
	return true
}

// Next fills request with the next row and reports whether there was one. The
// slices alias the batch.
func (r *Rows) Next(request *Request) bool {
	i, b := r.next, r.batch
	if b == nil || i >= len(b.Time) {
		return false
	}
	r.next++
	r.time += b.Time[i]
	*request = r.same
	request.Time = r.time
	request.Client = netip.AddrFrom16([16]byte(b.Client[16*i : 16*i+16])).Unmap()
	request.Status = uint16(b.Status[i])
	request.Cookie = Cookie(b.Cookie[i])
	request.Bytes = int64(b.Bytes[i])
	request.Duration = int64(b.Duration[i])
	request.UpstreamDuration = int64(b.UpstreamDuration[i])
	r.fillTexts(request, i)
	return true
}

// fillTexts fills what is not the same in all rows.
func (r *Rows) fillTexts(request *Request, i int) {
	b, texts, varies := r.batch, r.texts, r.varies
	if varies&(1<<ColumnPath) != 0 {
		request.Path = texts[b.Path[i]]
	}
	if varies&(1<<ColumnUserAgent) != 0 {
		request.UserAgent = texts[b.UserAgent[i]]
	}
	if varies&(1<<ColumnReferer) != 0 {
		request.Referer = texts[b.Referer[i]]
	}
	if varies&(1<<ColumnQuery) != 0 {
		request.Query = texts[b.Query[i]]
	}
	if varies&(1<<ColumnRequestID) != 0 {
		request.RequestID = texts[b.RequestId[i]]
	}
	if varies&(1<<ColumnSite|1<<ColumnMethod|1<<ColumnProtocol) != 0 {
		request.Site, request.Method, request.Protocol = texts[b.Site[i]], texts[b.Method[i]], texts[b.Protocol[i]]
	}
	if varies&(1<<ColumnAcceptLanguage|1<<ColumnAcceptEncoding|1<<ColumnTLS) != 0 {
		request.AcceptLanguage, request.AcceptEncoding, request.TLS = texts[b.AcceptLanguage[i]], texts[b.AcceptEncoding[i]], texts[b.Tls[i]]
	}
	if varies&(1<<ColumnAction|1<<ColumnDecision) != 0 {
		request.Action, request.Decision = texts[b.Action[i]], texts[b.Decision[i]]
	}
	if varies&(1<<ColumnCacheStatus|1<<ColumnExtra) != 0 {
		request.CacheStatus, request.Extra = texts[b.CacheStatus[i]], texts[b.Extra[i]]
	}
}

// Column names a column of strings.
type Column uint8

// The columns of strings.
const (
	ColumnSite Column = iota
	ColumnMethod
	ColumnPath
	ColumnQuery
	ColumnProtocol
	ColumnReferer
	ColumnUserAgent
	ColumnAcceptLanguage
	ColumnAcceptEncoding
	ColumnTLS
	ColumnAction
	ColumnDecision
	ColumnRequestID
	ColumnCacheStatus
	ColumnExtra
)

// Indices are a column's, one a row, into the batch's string table, 0 being "".
// What is computed of a string can be kept under its index for as long as the batch
// is walked: equal indices are equal strings. The same string may have several
// indices; request ids do. Not to be changed.
func (r *Rows) Indices(c Column) []uint32 { return *r.batch.textColumns()[c] }

// Texts is the batch's string table, which Indices point into. Not to be changed.
func (r *Rows) Texts() [][]byte { return r.texts }

// Row is the index of the row that Next gave last, -1 before the first.
func (r *Rows) Row() int { return r.next - 1 }

// Len is the number of rows of the batch.
func (r *Rows) Len() int { return len(r.batch.GetTime()) }
