#include "textflag.h"

// func stopBlocks(text *byte, blocks int, bits *uint64)
//
// 64 bytes at a time: a byte stops where it is a quote, a backslash, or at most 0x1f,
// which is where the lesser of it and 0x1f is itself. Needs AVX2.
TEXT ·stopBlocks(SB), NOSPLIT, $0-24
	MOVQ text+0(FP), SI
	MOVQ blocks+8(FP), CX
	MOVQ bits+16(FP), DI
	MOVQ $0x2222222222222222, AX
	MOVQ AX, X0
	VPBROADCASTQ X0, Y0
	MOVQ $0x5c5c5c5c5c5c5c5c, AX
	MOVQ AX, X1
	VPBROADCASTQ X1, Y1
	MOVQ $0x1f1f1f1f1f1f1f1f, AX
	MOVQ AX, X2
	VPBROADCASTQ X2, Y2

loop:
	VMOVDQU (SI), Y3
	VMOVDQU 32(SI), Y4
	VPCMPEQB Y0, Y3, Y5
	VPCMPEQB Y1, Y3, Y6
	VPMINUB Y2, Y3, Y7
	VPCMPEQB Y3, Y7, Y7
	VPOR Y5, Y6, Y5
	VPOR Y5, Y7, Y5
	VPMOVMSKB Y5, AX
	VPCMPEQB Y0, Y4, Y8
	VPCMPEQB Y1, Y4, Y9
	VPMINUB Y2, Y4, Y10
	VPCMPEQB Y4, Y10, Y10
	VPOR Y8, Y9, Y8
	VPOR Y8, Y10, Y8
	VPMOVMSKB Y8, BX
	SHLQ $32, BX
	ORQ BX, AX
	MOVQ AX, (DI)
	ADDQ $64, SI
	ADDQ $8, DI
	DECQ CX
	JNZ loop
	VZEROUPPER
	RET
