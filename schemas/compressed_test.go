package schemas

import "github.com/klauspost/compress/s2"

func compressed(raw []byte) []byte { return s2.Encode(nil, raw) }
