#include "textflag.h"

// func maxBlocks(dst, src *byte, blocks int)
//
// 64 bytes at a time, with what every amd64 has (SSE2).
TEXT ·maxBlocks(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ blocks+16(FP), CX

next:
	MOVOU  (DI), X0
	MOVOU  16(DI), X1
	MOVOU  32(DI), X2
	MOVOU  48(DI), X3
	MOVOU  (SI), X4
	MOVOU  16(SI), X5
	MOVOU  32(SI), X6
	MOVOU  48(SI), X7
	PMAXUB X4, X0
	PMAXUB X5, X1
	PMAXUB X6, X2
	PMAXUB X7, X3
	MOVOU  X0, (DI)
	MOVOU  X1, 16(DI)
	MOVOU  X2, 32(DI)
	MOVOU  X3, 48(DI)
	ADDQ   $64, DI
	ADDQ   $64, SI
	DECQ   CX
	JNZ    next
	RET

// COUNTS leaves in X0 all ones for each of four slots of 12 bytes whose count, the second of its three numbers, is 0.
#define COUNTS(at) \
	MOVOU   at+0(SI), X0   \
	MOVOU   at+16(SI), X1  \
	MOVOU   at+32(SI), X2  \
	SHUFPS  $0x05, X1, X0  \
	SHUFPS  $0xAF, X2, X1  \
	SHUFPS  $0x88, X1, X0  \
	PCMPEQL X7, X0

// func takenSlots(slots *tallied, blocks int, mask *uint64)
//
// Three numbers a slot, the counts of four brought together, 16 slots at a time.
TEXT ·takenSlots(SB), NOSPLIT, $0-24
	MOVQ slots+0(FP), SI
	MOVQ blocks+8(FP), CX
	MOVQ mask+16(FP), DI
	PXOR X7, X7

nextSlots:
	COUNTS(0)
	MOVO     X0, X3
	COUNTS(48)
	PACKSSLW X0, X3
	COUNTS(96)
	MOVO     X0, X4
	COUNTS(144)
	PACKSSLW X0, X4
	PACKSSWB X4, X3
	PMOVMSKB X3, AX
	NOTL     AX
	MOVW     AX, (DI)
	ADDQ     $192, SI
	ADDQ     $2, DI
	DECQ     CX
	JNZ      nextSlots
	RET

// func takenKeys(keys *uint32, blocks int, mask *uint64)
TEXT ·takenKeys(SB), NOSPLIT, $0-24
	MOVQ keys+0(FP), SI
	MOVQ blocks+8(FP), CX
	MOVQ mask+16(FP), DI
	PXOR X7, X7

nextKeys:
	MOVOU    (SI), X0
	MOVOU    16(SI), X1
	MOVOU    32(SI), X2
	MOVOU    48(SI), X3
	PCMPEQL  X7, X0
	PCMPEQL  X7, X1
	PCMPEQL  X7, X2
	PCMPEQL  X7, X3
	PACKSSLW X1, X0
	PACKSSLW X3, X2
	PACKSSWB X2, X0
	PMOVMSKB X0, AX
	NOTL     AX
	MOVW     AX, (DI)
	ADDQ     $64, SI
	ADDQ     $2, DI
	DECQ     CX
	JNZ      nextKeys
	RET
