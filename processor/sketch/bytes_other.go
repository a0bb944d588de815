//go:build !amd64

package sketch

func maxBlocks(*byte, *byte, int) {}

const hasMaxBlocks = false
