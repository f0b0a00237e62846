/*
 * Why the decoder and Capstone 4.0.2 differ.  Included as rows by
 * x86_decode_capstone.c: kind of difference, our mnemonic, Capstone's, condition.
 */

/* #UD here, because no guest is ever offered the feature. */
{ OWN_NONE, "-", "*", evex, "EVEX (AVX-512)" },
{ OWN_NONE, "-", "k*", vex, "AVX-512 mask registers" },
{ OWN_NONE, "-", "*", xop, "XOP, TBM" },
{ OWN_NONE, "-", "vfn*", vex3, "FMA4" },
{ OWN_NONE, "-", "vfm*", vex3, "FMA4" },
{ OWN_NONE, "-", "vpermil2p*", vex3, "XOP" },
{ OWN_NONE, "-", "*", now3d, "3DNow!" },
{ OWN_NONE, "-", "xabort", NULL, "RTM" },
{ OWN_NONE, "-", "xbegin", NULL, "RTM" },
{ OWN_NONE, "-", "xend", NULL, "RTM" },
{ OWN_NONE, "-", "xtest", NULL, "RTM" },
{ OWN_NONE, "-", "vm*", group_vmx, "VMX, SVM" },
{ OWN_NONE, "-", "*gi", NULL, "SVM" },
{ OWN_NONE, "-", "invept", NULL, "VMX" },
{ OWN_NONE, "-", "invvpid", NULL, "VMX" },
{ OWN_NONE, "-", "skinit", NULL, "SVM" },
{ OWN_NONE, "-", "invlpga", NULL, "SVM" },
{ OWN_NONE, "-", "getsec", NULL, "SMX" },
{ OWN_NONE, "-", "encl[su]", NULL, "SGX" },
{ OWN_NONE, "-", "pcommit", NULL, "withdrawn by Intel" },
{ OWN_NONE, "-", "montmul", NULL, "VIA PadLock" },
{ OWN_NONE, "-", "xsha*", NULL, "VIA PadLock" },
{ OWN_NONE, "-", "xcrypt*", NULL, "VIA PadLock" },
{ OWN_NONE, "-", "xstorerng", NULL, "VIA PadLock" },

/* Rules of #UD that Capstone does not apply. */
{ OWN_NONE, "*", "*", locked, "LOCK without a memory destination that takes it" },
{ OWN_NONE, "-", "*", other_column, "no such column for 66, F3 or F2" },
{ OWN_NONE, "-", "mov", to_seg, "MOV to CS, from or to registers 6, 7" },
{ OWN_NONE, "-", "mov", to_cr, "CR1, CR5-7, CR9-15, DR8-15, test registers" },
{ OWN_NONE, "*", "*", vvvv, "VEX.vvvv must be 1111" },
{ OWN_NONE, "*", "v*", vex_w, "VEX.W must be 0" },
{ OWN_NONE, "-", "swapgs", NULL, "64-bit code only" },
{ OWN_NONE, "-", "extrq", NULL, "modrm.reg must be 0" },
{ OWN_NONE, "*", "*gather*", NULL, "destination, index, mask must differ" },
{ OWN_NONE, "-", "*", vex_prefix, "66, F2, F3, LOCK or REX before VEX" },

/* What Capstone does not know. */
{ CS_NONE, "nop", "-", nop_reserved, "reserved NOPs: 0F 0D, 0F 1A-1E" },
{ CS_NONE, "prefetch", "-", nop_reserved, "0F 0D /2-7" },
{ CS_NONE, "ud0", "-", NULL, "0F FF with a prefix" },
{ CS_NONE, "movdiri", "-", NULL, "too new" },
{ CS_NONE, "serialize", "-", NULL, "too new" },
{ CS_NONE, "clzero", "-", NULL, "too new" },
{ CS_NONE, "rdpkru", "-", NULL, "too new" },
{ CS_NONE, "wrpkru", "-", NULL, "too new" },
{ CS_NONE, "*gf2p8*", "-", NULL, "GFNI" },
{ CS_NONE, "vaes*", "-", NULL, "VAES" },
{ CS_NONE, "vpclmulqdq", "-", NULL, "VPCLMULQDQ" },
{ CS_NONE, "vbroadcasti128", "-", NULL, "forgotten" },
{ CS_NONE, "mov_seg", "-", rex_r, "REX.R does not count for segment registers" },
{ CS_NONE, "?fence", "-", modrm_low, "any modrm.rm will do" },

/* Mandatory prefixes: Capstone sees them only right before the opcode, weighs 66
 * against F2 and F3 otherwise than the processor, takes 67 with REX for 66, and
 * sees none in 16-bit code. */
{ CS_NONE, "*", "-", mandatory16, "16-bit: Capstone knows no mandatory prefix" },
{ CS_NONE, "*", "-", mandatory2, "mandatory prefix before others" },
{ CS_NONE, "mov", "-", prefixes2, "moffs with 66 and F2" },
{ NAME, "*", "*", other_column, "another mandatory prefix" },
{ COUNT, "*", "*", mandatory2, "mandatory prefix before others" },
{ NAME, "extrq", "vmwrite", mandatory, "another mandatory prefix" },
{ NAME, "insertq", "vmwrite", mandatory, "another mandatory prefix" },
{ LENGTH, "extrq", "vmread", mandatory, "another mandatory prefix" },
{ LENGTH, "insertq", "vmread", mandatory, "another mandatory prefix" },
{ NAME, "insertq", "extrq", mandatory2, "another mandatory prefix" },
{ OWN_NONE, "-", "movd", mandatory, "F2, F3 before 0F 6E with REX.W" },
{ OWN_NONE, "-", "p???rd", rex_w, "67 and REX.W taken for 66" },

/* Lengths. */
{ LENGTH, "ud0", "ud0", NULL, "has a modrm" },
{ LENGTH, "ud1", "ud2b", NULL, "has a modrm" },
{ LENGTH, "jcc", "j*", opsize64, "66 shortens near branches on AMD only" },
{ LENGTH, "jmp", "jmp", opsize64, "66 shortens near branches on AMD only" },
{ LENGTH, "call", "call", opsize64, "66 shortens near branches on AMD only" },
{ LENGTH, "*", "*", opsize_rep, "Capstone drops 66 next to F2 or F3" },
{ LENGTH, "ret", "ret", opsize64, "the immediate is a word always" },

/* Names. */
{ NAME, "xchg", "nop", prefixes2, "66 and two REX" },
{ NAME, "pause", "*", prefixes2, "other prefixes between F3 and 90" },
{ NAME, "pause", "nop", NULL, "16-bit" },
{ NAME, "vpinsrd", "vpinsrq", vex32, "VEX.W does not count in 32-bit code" },
{ NAME, "vpextrd", "vpextrq", vex32, "VEX.W does not count in 32-bit code" },
{ NAME, "movq", "movd", rex_w, "MMX: W makes it a quadword" },

/* Numbers of operands: implied ones that one of us does not list. */
{ COUNT, "*", "*", string, "the implied operands of string instructions" },
{ COUNT, "jmpf", "ljmp", NULL, "selector and offset are two for Capstone" },
{ COUNT, "callf", "lcall", NULL, "selector and offset are two for Capstone" },
{ COUNT, "*", "*", x87, "st(0) where it is implied" },
{ COUNT, "sha256rnds2", "sha256rnds2", NULL, "implied XMM0" },
{ COUNT, "*blendv*", "*blendv*", NULL, "implied XMM0" },
{ COUNT, "aa[dm]", "aa[dm]", base10, "Capstone hides base 10" },
{ COUNT, "nop", "nop", nop_reserved, "0F 19-1E" },
{ COUNT, "cmp*", "cmp*", is_cmp_pair, "the predicate is in Capstone's mnemonic" },
{ COUNT, "vcmp*", "vcmp*", is_cmp_pair, "the predicate is in Capstone's mnemonic" },
