//! Opcode tables of CPython 3.8 to 3.14, written by `scripts/python_opcodes.py` under each of these versions.

/// Opcodes of one minor version.
pub(super) struct Table {
    pub minor: u8,
    /// How the argument of each opcode is checked:
    ///
    /// | letter | argument |
    /// |---|---|
    /// | `.` | there is no such opcode |
    /// | `-` | any |
    /// | `0` | none, so it is 0 |
    /// | `x` | upper bytes of the next one's: EXTENDED_ARG |
    /// | `c` | index of a constant |
    /// | `n`, `i`, `f` | index of a name; of IMPORT_NAME; of IMPORT_FROM |
    /// | `h`, `q` | index of a name times 2, or times 4, and flags |
    /// | `l`, `p`, `d` | index of a local; two of 4 bits; index of a cell or free variable |
    /// | `m`, `v` | MAKE_CELL: index of a local; COPY_FREE_VARS: count of free variables |
    /// | `a`, `j`, `b`, `k` | jump: absolute, forward, backward, backward on a condition |
    /// | `r`, `g`, `t` | RESUME; RETURN_GENERATOR and POP_TOP, which come before it in generators |
    /// | `s` | CALL_INTRINSIC_1 |
    pub kinds: &'static [u8; 256],
    /// Opcodes with inline caches, and the number of their 2-byte entries.
    pub caches: &'static [(u8, u8)],
}

/// Tables in order of version.
#[rustfmt::skip]
pub(super) const TABLES: &[Table] = &[
    Table {
        minor: 8,
        kinds: b"\
            .------..----..---.--.--------....................--------.-----\
            ----------.-----.---------nn-j-nnnn.cn----n-ifjaaaaan.....j.lll.\
            ..----.dddd..--jx---d-----j----.n-j-............................\
            ................................................................",
        caches: &[],
    },
    Table {
        minor: 9,
        kinds: b"\
            .------..----..---.--.--------..................-----.----.-----\
            ----------------..------.-nn-j-nnnn.cn----n-ifjaaaaan--..aj.lll.\
            ..----.dddd..--jx---d.....j---..n-----..........................\
            ................................................................",
        caches: &[],
    },
    Table {
        minor: 10,
        kinds: b"\
            .------..----..---.--.-------------..............----.----.-----\
            ----------------..------.-nn-j-nnnn-cn----n-ifjaaaaan---.aj.lll.\
            .-----.dddd..--jx---d...-.j---..n-----..........................\
            ................................................................",
        caches: &[],
    },
    Table {
        minor: 11,
        kinds: b"\
            .t0......0000..0.........0....0000.000...........000000.....00..\
            ....0000..0g......00000000nn-j-nnnn-cn----n-ifjjj.jjh----.-jlll.\
            jj----bmddddb.-.x---dv.r-..---..n.-----....-ckkkk...............\
            ................................................................",
        caches: &[(25, 4), (60, 1), (92, 1), (95, 4), (106, 4), (107, 2), (116, 5), (122, 1), (160, 10), (166, 1), (171, 4)],
    },
    Table {
        minor: 12,
        kinds: b"\
            .t0.00...0.00..0.........000..0000.000...........0000000....00..\
            ....00.0..0g.......0.0.0.0nn-j-nnnn-cn----h-ifj...jjh----c-jllll\
            jj----bmddddbq-lx---.v-r-..---....----.....-cs-nd...............\
            ................................................................",
        caches: &[(25, 1), (60, 1), (92, 1), (93, 1), (95, 4), (106, 9), (107, 1), (116, 4), (122, 1), (123, 1), (141, 1), (171, 3)],
    },
    Table {
        minor: 13,
        kinds: b"\
            .00.0000000000000.0000.000000000t00g000000000----------s------vn\
            dlnn--.xj-fi-bbj--hcdlllpdnhnqm--jjjj--cj---ndlppnn----.........\
            .....................r..........................................\
            ................................................................",
        caches: &[(5, 1), (39, 1), (40, 3), (45, 1), (53, 3), (58, 1), (59, 1), (72, 1), (77, 1), (82, 9), (91, 4), (93, 1), (97, 1), (98, 1), (99, 1), (100, 1), (104, 1), (108, 4), (117, 1)],
    },
    Table {
        minor: 14,
        kinds: b"\
            .00.0000000000000.00.0000000000t00g000000000---------s------vndl\
            nn--jxj-fi-bbj--h-cllllplpdnhn--qm--jjjj--j---ndlppnn----.......\
            r...............................................................\
            ................................................................",
        caches: &[(38, 1), (39, 3), (44, 5), (52, 3), (55, 3), (56, 1), (57, 1), (70, 1), (75, 1), (80, 9), (92, 4), (96, 1), (100, 1), (101, 1), (102, 1), (103, 1), (106, 1), (110, 4), (119, 1)],
    },
];
