package schemas

import "net/netip"

// Rows walks the rows of a batch without allocating per row. It may be reused
// for another batch with Reset.
type Rows struct {
	batch *Batch
	texts [][]byte
	next  int
	time  int64
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
	request.Time = r.time
	request.Client = netip.AddrFrom16([16]byte(b.Client[16*i : 16*i+16])).Unmap()
	request.Status = uint16(b.Status[i])
	request.Cookie = Cookie(b.Cookie[i])
	request.Bytes = int64(b.Bytes[i])
	request.Duration = int64(b.Duration[i])
	request.UpstreamDuration = int64(b.UpstreamDuration[i])
	request.Fields, request.Weight = Fields(b.Fields), uint32(b.Weight)
	request.Site, request.Method = r.texts[b.Site[i]], r.texts[b.Method[i]]
	request.Path, request.Query = r.texts[b.Path[i]], r.texts[b.Query[i]]
	request.Protocol, request.Referer = r.texts[b.Protocol[i]], r.texts[b.Referer[i]]
	request.UserAgent, request.AcceptLanguage = r.texts[b.UserAgent[i]], r.texts[b.AcceptLanguage[i]]
	request.AcceptEncoding, request.TLS = r.texts[b.AcceptEncoding[i]], r.texts[b.Tls[i]]
	request.Action, request.Decision = r.texts[b.Action[i]], r.texts[b.Decision[i]]
	request.RequestID, request.CacheStatus = r.texts[b.RequestId[i]], r.texts[b.CacheStatus[i]]
	request.Extra = r.texts[b.Extra[i]]
	return true
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
