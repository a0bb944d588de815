package schemas

import (
	"testing"
)

const benchRows = 4096

func BenchmarkEncodeBatch(b *testing.B) {
	requests := make([]Request, benchRows)
	for i := range requests {
		requests[i] = ordinary(i)
	}
	builder := NewBuilder("edge-1", "/var/log/nginx/access.log")
	var message []byte
	var encoder BatchEncoder
	b.ReportAllocs()
	for b.Loop() {
		builder.Reset()
		for i := range requests {
			if builder.Fits(&requests[i]) {
				builder.Append(&requests[i])
			}
		}
		var err error
		if message, err = encoder.Encode(message[:0], builder.Batch()); err != nil {
			b.Fatal(err)
		}
	}
	perRequest(b, builder.Len(), len(message))
}

func BenchmarkDecodeBatch(b *testing.B) {
	requests := make([]Request, 0, benchRows)
	builder := NewBuilder("edge-1", "/var/log/nginx/access.log")
	for i := range cap(requests) {
		r := ordinary(i)
		if builder.Fits(&r) {
			builder.Append(&r)
		}
	}
	message, err := EncodeBatch(nil, builder.Batch())
	if err != nil {
		b.Fatal(err)
	}
	var rows Rows
	var r Request
	var decoder BatchDecoder
	b.ReportAllocs()
	for b.Loop() {
		batch, err := decoder.Decode(message)
		if err != nil {
			b.Fatal(err)
		}
		for rows.Reset(batch); rows.Next(&r); {
		}
	}
	perRequest(b, builder.Len(), len(message))
}

func perRequest(b *testing.B, rows, bytes int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/request")
	b.ReportMetric(float64(bytes)/float64(rows), "B/request")
}
