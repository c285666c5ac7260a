//! Which functions are safe to keep the result of, and which cannot write.
//!
//! A function that is in no list here is the user's own, or newer than the list: it may answer
//! differently each time, and it may write. A list belongs to one dialect, because what is built in
//! with one server is a name that is free with another. Words of syntax stand apart from functions:
//! in quotes, or where a server does not reserve them, they too are names that users give.

use super::analysis::Dialect;
use super::keyword::Kw;

/// No name in the lists is longer.
pub(super) const LONGEST: usize = 40;

/// What a function's name says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Computes its answer from its arguments.
    Pure,
    /// Looks at the clock, depending on its arguments.
    Clock,
    /// Answers differently each time. Writes no table.
    Volatile,
    /// Answers what the session or the server is set to. Writes no table.
    Session,
    /// Not known.
    Unknown,
}

/// The name in lower case, unless it is too long for any list.
pub(super) fn lower_case<'b>(name: &str, buffer: &'b mut [u8; LONGEST]) -> Option<&'b str> {
    let buffer = buffer.get_mut(..name.len())?;
    buffer.copy_from_slice(name.as_bytes());
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).ok()
}

/// What a function of this name, in lower case, is in this dialect.
pub(super) fn class(dialect: Dialect, name: &str) -> Class {
    let (pure, volatile, session, clock) = match dialect {
        Dialect::Postgres => (POSTGRES, POSTGRES_VOLATILE, POSTGRES_SESSION, POSTGRES_CLOCK),
        Dialect::MySql => (MYSQL, MYSQL_VOLATILE, MYSQL_SESSION, MYSQL_CLOCK),
        Dialect::Sqlite => (SQLITE, SQLITE_VOLATILE, SQLITE_SESSION, SQLITE_CLOCK),
    };
    let is_in = |list: &[&str]| list.binary_search(&name).is_ok();
    if is_in(clock) {
        Class::Clock
    } else if is_in(volatile) {
        Class::Volatile
    } else if is_in(session) || begins(dialect, name) {
        Class::Session
    } else if is_in(COMMON) || is_in(pure) {
        Class::Pure
    } else {
        Class::Unknown
    }
}

/// This word, without quotes, is no function's name, whatever the user has made: the server reserves
/// it for its syntax or for a type.
pub(super) fn is_reserved_word(dialect: Dialect, word: &str) -> bool {
    let words = match dialect {
        Dialect::Postgres => POSTGRES_WORDS,
        Dialect::MySql => MYSQL_WORDS,
        Dialect::Sqlite => SQLITE_WORDS,
    };
    words.binary_search(&word).is_ok()
}

/// Families of functions about the server, all without effect on tables.
fn begins(dialect: Dialect, name: &str) -> bool {
    let families: &[&str] = match dialect {
        Dialect::Postgres => &POSTGRES_FAMILIES,
        Dialect::MySql => &["wsrep_", "gtid_"],
        Dialect::Sqlite => &["pragma_"],
    };
    families.iter().any(|family| name.starts_with(family))
}

/// Words that are calls without parentheses.
pub(super) fn bare(dialect: Dialect, kw: Kw) -> Option<Class> {
    match (kw, dialect) {
        (Kw::CurrentDate | Kw::CurrentTime | Kw::CurrentTimestamp, _) => Some(Class::Volatile),
        (_, Dialect::Sqlite) => None,
        (Kw::Localtime | Kw::Localtimestamp, _) => Some(Class::Volatile),
        (Kw::UtcDate | Kw::UtcTime | Kw::UtcTimestamp, Dialect::MySql) => Some(Class::Volatile),
        (Kw::CurrentUser | Kw::CurrentRole, _) => Some(Class::Session),
        (Kw::SessionUser | Kw::SystemUser | Kw::User, Dialect::Postgres) => Some(Class::Session),
        (Kw::CurrentCatalog | Kw::CurrentSchema, Dialect::Postgres) => Some(Class::Session),
        _ => None,
    }
}

/// PostgreSQL takes one of the words in this text for the time, if it makes a date of the text.
pub fn may_mean_now(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let clock = ["now", "today", "tomorrow", "yesterday"];
    words.any(|word| clock.iter().any(|c| word.eq_ignore_ascii_case(c)))
}

/// The text of a statement takes a function of this name, in lower case, for one that is built in.
pub fn is_built_in(dialect: Dialect, name: &str) -> bool {
    class(dialect, name) != Class::Unknown
}

/// Functions whose arguments hold a `FROM`.
pub(super) fn takes_from(name: &str) -> bool {
    matches!(name, "extract" | "substring" | "substr" | "trim" | "ltrim" | "rtrim" | "overlay" | "mid")
}

const POSTGRES_CLOCK: &[&str] = &["age"];
const MYSQL_CLOCK: &[&str] = &["unix_timestamp"];
const SQLITE_CLOCK: &[&str] = &["date", "datetime", "julianday", "strftime", "time", "timediff", "unixepoch"];

const POSTGRES_FAMILIES: [&str; 24] = [
    "pg_advisory_",
    "pg_backend_",
    "pg_blocking_",
    "pg_cancel_",
    "pg_client_",
    "pg_column_",
    "pg_conf_",
    "pg_current_",
    "pg_database_",
    "pg_export_",
    "pg_get_",
    "pg_has_",
    "pg_indexes_",
    "pg_input_",
    "pg_is_",
    "pg_last_",
    "pg_notif",
    "pg_postmaster_",
    "pg_relation_",
    "pg_size_",
    "pg_sleep",
    "pg_t",
    "pg_stat_",
    "pg_snapshot_",
];

/// What the servers of every dialect compute from its arguments.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "abs", "acos", "asin", "atan", "atan2", "avg", "ceil", "ceiling", "char", "concat", "concat_ws",
    "cos", "count", "cume_dist", "date", "degrees", "dense_rank", "exp", "first_value", "floor",
    "format", "json_array", "json_object", "lag", "last_value", "lead", "length", "ln", "log", "log10",
    "lower", "ltrim", "max", "min", "mod", "nth_value", "ntile", "octet_length", "percent_rank",
    "percentile_cont", "percentile_disc", "pi", "pow", "power", "radians", "rank", "replace", "round",
    "row_number", "rtrim", "sign", "sin", "soundex", "sqrt", "substr", "substring", "sum", "tan", "time",
    "upper",
];

/// PostgreSQL and its usual extensions, besides `COMMON`.
#[rustfmt::skip]
const POSTGRES: &[&str] = &[
    "acosd", "acosh", "akeys", "any_value", "approx_percentile", "area", "array_agg", "array_append",
    "array_cat", "array_dims", "array_fill", "array_length", "array_lower", "array_ndims",
    "array_position", "array_positions", "array_prepend", "array_remove", "array_replace",
    "array_reverse", "array_sort", "array_to_json", "array_to_string", "array_to_tsvector",
    "array_upper", "ascii", "asind", "asinh", "atan2d", "atand", "atanh", "avals", "binary_quantize",
    "bit", "bit_and", "bit_count", "bit_length", "bit_or", "bit_xor", "bool", "bool_and", "bool_or",
    "bound_box", "box", "box2d", "box3d", "bpchar", "broadcast", "btrim", "bytea", "cardinality",
    "casefold", "cbrt", "center", "char_length", "character_length", "chr", "cidr", "circle", "citext",
    "convert", "convert_from", "convert_to", "corr", "cosd", "cosh", "cosine_distance", "cot", "cotd",
    "covar_pop", "covar_samp", "crc32", "crc32c", "crypt", "cube", "cube_distance", "daitch_mokotoff",
    "date_add", "date_bin", "date_part", "date_subtract", "date_trunc", "datemultirange", "daterange",
    "decode", "diameter", "difference", "digest", "div", "dmetaphone", "dmetaphone_alt", "each",
    "earth_box", "earth_distance", "encode", "enum_first", "enum_last", "enum_range", "erf", "erfc",
    "every", "extract", "factorial", "family", "float4", "float8", "format_type", "gamma", "gcd",
    "generate_series", "generate_subscripts", "geography", "geometry", "get_bit", "get_byte", "halfvec",
    "height", "histogram", "hmac", "host", "hostmask", "hstore", "hstore_to_json", "hstore_to_jsonb",
    "inet", "inet_merge", "inet_same_family", "initcap", "inner_product", "int2", "int4",
    "int4multirange", "int4range", "int8", "int8multirange", "int8range", "interpolate", "interval",
    "isclosed", "isempty", "isfinite", "isopen", "json_agg", "json_agg_strict", "json_array_elements",
    "json_array_elements_text", "json_array_length", "json_arrayagg", "json_build_array",
    "json_build_object", "json_each", "json_each_text", "json_exists", "json_extract_path",
    "json_extract_path_text", "json_object_agg", "json_object_agg_unique", "json_object_keys",
    "json_objectagg", "json_populate_record", "json_populate_recordset", "json_query", "json_scalar",
    "json_serialize", "json_strip_nulls", "json_table", "json_to_record", "json_to_recordset",
    "json_to_tsvector", "json_typeof", "json_value", "jsonb", "jsonb_agg", "jsonb_agg_strict",
    "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_array_length", "jsonb_build_array",
    "jsonb_build_object", "jsonb_each", "jsonb_each_text", "jsonb_exists", "jsonb_exists_all",
    "jsonb_exists_any", "jsonb_extract_path", "jsonb_extract_path_text", "jsonb_insert", "jsonb_object",
    "jsonb_object_agg", "jsonb_object_agg_unique", "jsonb_object_keys", "jsonb_path_exists",
    "jsonb_path_match", "jsonb_path_query", "jsonb_path_query_array", "jsonb_path_query_first",
    "jsonb_populate_record", "jsonb_populate_recordset", "jsonb_pretty", "jsonb_set", "jsonb_set_lax",
    "jsonb_strip_nulls", "jsonb_to_record", "jsonb_to_recordset", "jsonb_to_tsvector", "jsonb_typeof",
    "justify_days", "justify_hours", "justify_interval", "l1_distance", "l2_distance", "l2_normalize",
    "lca", "lcm", "left", "levenshtein", "levenshtein_less_equal", "lexize", "lgamma", "like", "line",
    "ll_to_earth", "locf", "lower_inc", "lower_inf", "lpad", "lseg", "ltree", "ltree2text", "macaddr",
    "make_date", "make_interval", "make_time", "make_timestamp", "make_timestamptz", "make_valid",
    "masklen", "md5", "merge_action", "metaphone", "min_scale", "mode", "money", "multirange", "name",
    "netmask", "network", "nlevel", "normalize", "num_nonnulls", "num_nulls", "numeric", "nummultirange",
    "numnode", "numrange", "oid", "overlaps", "overlay", "parse_ident", "path", "pclose",
    "phraseto_tsquery", "plainto_tsquery", "point", "polygon", "popen", "position", "querytree",
    "quote_ident", "quote_literal", "quote_nullable", "radius", "range_agg", "range_intersect_agg",
    "range_merge", "regexp_count", "regexp_instr", "regexp_like", "regexp_match", "regexp_matches",
    "regexp_replace", "regexp_split_to_array", "regexp_split_to_table", "regexp_substr", "regr_avgx",
    "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy",
    "regr_syy", "repeat", "reverse", "right", "row_to_json", "rpad", "scale", "set_bit", "set_byte",
    "set_masklen", "setweight", "sha224", "sha256", "sha384", "sha512", "show_trgm", "similarity",
    "sind", "sinh", "skeys", "slice", "slope", "sparsevec", "split_part", "st_area", "st_asbinary",
    "st_asewkb", "st_asewkt", "st_asgeojson", "st_asmvt", "st_asmvtgeom", "st_astext", "st_aswkb",
    "st_aswkt", "st_azimuth", "st_boundary", "st_buffer", "st_centroid", "st_closestpoint",
    "st_clusterdbscan", "st_clusterkmeans", "st_collect", "st_contains", "st_containsproperly",
    "st_convexhull", "st_coveredby", "st_covers", "st_crosses", "st_difference", "st_dimension",
    "st_disjoint", "st_distance", "st_distancesphere", "st_distancespheroid", "st_dwithin",
    "st_endpoint", "st_envelope", "st_equals", "st_expand", "st_extent", "st_flipcoordinates",
    "st_force2d", "st_geogfromtext", "st_geohash", "st_geometryn", "st_geometrytype", "st_geomfromewkb",
    "st_geomfromewkt", "st_geomfromgeojson", "st_geomfromtext", "st_geomfromwkb", "st_interpolatepoint",
    "st_intersection", "st_intersects", "st_isempty", "st_issimple", "st_isvalid", "st_length",
    "st_lineinterpolatepoint", "st_linelocatepoint", "st_linemerge", "st_linesubstring",
    "st_makeenvelope", "st_makeline", "st_makepoint", "st_makepolygon", "st_makevalid", "st_maxdistance",
    "st_mlinefromtext", "st_multi", "st_npoints", "st_numgeometries", "st_overlaps", "st_perimeter",
    "st_point", "st_pointfromtext", "st_pointn", "st_pointonsurface", "st_polygon", "st_project",
    "st_relate", "st_setsrid", "st_simplify", "st_simplifypreservetopology", "st_snap", "st_snaptogrid",
    "st_split", "st_srid", "st_startpoint", "st_subdivide", "st_symdifference", "st_tileenvelope",
    "st_touches", "st_transform", "st_translate", "st_union", "st_within", "st_xmax", "st_xmin", "st_y",
    "st_ymax", "st_ymin", "st_z", "starts_with", "stddev", "stddev_pop", "stddev_samp",
    "strict_word_similarity", "string_agg", "string_to_array", "string_to_table", "strip", "strpos",
    "subltree", "subpath", "substring_similar", "subvector", "svals", "tand", "tanh", "text",
    "text2ltree", "text_soundex", "time_bucket", "time_bucket_gapfill", "timestamp", "timestamptz",
    "timetz", "timezone", "to_ascii", "to_bin", "to_char", "to_date", "to_hex", "to_json", "to_jsonb",
    "to_number", "to_oct", "to_timestamp", "to_tsquery", "to_tsvector", "translate", "trim_array",
    "trim_scale", "trunc", "ts_debug", "ts_delete", "ts_filter", "ts_headline", "ts_lexize", "ts_rank",
    "ts_rank_cd", "tsmultirange", "tsquery", "tsquery_phrase", "tsrange", "tstzmultirange", "tstzrange",
    "tsvector", "tsvector_to_array", "unaccent", "unicode_assigned", "unistr", "unnest", "upper_inc",
    "upper_inf", "uuid", "uuid_extract_timestamp", "uuid_extract_version", "uuid_generate_v3",
    "uuid_generate_v5", "uuid_nil", "uuid_ns_dns", "uuid_ns_oid", "uuid_ns_url", "uuid_ns_x500",
    "var_pop", "var_samp", "varbit", "varchar", "variance", "vector", "vector_dims", "vector_norm",
    "websearch_to_tsquery", "width", "width_bucket", "word_similarity", "xml", "xml_is_well_formed",
    "xml_is_well_formed_content", "xml_is_well_formed_document", "xmlagg", "xmlcomment", "xmlexists",
    "xmltext", "xpath", "xpath_exists",
];

/// MySQL and MariaDB, besides `COMMON`.
#[rustfmt::skip]
const MYSQL: &[&str] = &[
    "adddate", "addtime", "aes_decrypt", "aes_encrypt", "any_value", "ascii", "bin", "bin_to_uuid",
    "bit_and", "bit_count", "bit_length", "bit_or", "bit_xor", "cast", "char_length", "character_length",
    "charset", "chr", "coalesce", "coercibility", "collation", "compress", "conv", "convert",
    "convert_tz", "cot", "crc32", "date_add", "date_format", "date_sub", "datediff", "datetime", "day",
    "dayname", "dayofmonth", "dayofweek", "dayofyear", "decode", "decode_oracle", "des_decrypt", "elt",
    "encode", "export_set", "extract", "extractvalue", "field", "find_in_set", "from_base64",
    "from_days", "from_unixtime", "geometry", "geometrycollection", "get_format", "greatest",
    "group_concat", "grouping", "hex", "hour", "if", "ifnull", "inet6_aton", "inet6_ntoa", "inet_aton",
    "inet_ntoa", "insert", "instr", "is_ipv4", "is_ipv4_compat", "is_ipv4_mapped", "is_ipv6", "is_uuid",
    "isnull", "json", "json_array_append", "json_array_insert", "json_arrayagg", "json_compact",
    "json_contains", "json_contains_path", "json_depth", "json_detailed", "json_equals", "json_exists",
    "json_extract", "json_insert", "json_keys", "json_length", "json_loose", "json_merge",
    "json_merge_patch", "json_merge_preserve", "json_normalize", "json_object_filter_keys",
    "json_object_to_array", "json_objectagg", "json_overlaps", "json_pretty", "json_query", "json_quote",
    "json_remove", "json_replace", "json_schema_valid", "json_schema_validation_report", "json_search",
    "json_set", "json_storage_free", "json_storage_size", "json_table", "json_type", "json_unquote",
    "json_valid", "json_value", "kdf", "last_day", "lcase", "least", "left", "lengthb", "linestring",
    "locate", "log2", "lpad", "make_set", "makedate", "maketime", "match", "mbrcontains", "mbrcoveredby",
    "mbrcovers", "mbrdisjoint", "mbrequals", "mbrintersects", "mbroverlaps", "mbrtouches", "mbrwithin",
    "md5", "median", "microsecond", "mid", "minute", "month", "monthname", "multilinestring",
    "multipoint", "multipolygon", "name_const", "natural_sort_key", "nullif", "nvl", "nvl2", "oct",
    "old_password", "ord", "password", "period_add", "period_diff", "point", "polygon", "position",
    "quarter", "quote", "regexp_instr", "regexp_like", "regexp_replace", "regexp_substr", "repeat",
    "reverse", "right", "rpad", "sec_to_time", "second", "sformat", "sha", "sha1", "sha2", "space",
    "st_area", "st_asbinary", "st_asgeojson", "st_astext", "st_aswkb", "st_aswkt", "st_buffer",
    "st_buffer_strategy", "st_centroid", "st_collect", "st_contains", "st_convexhull", "st_crosses",
    "st_difference", "st_dimension", "st_disjoint", "st_distance", "st_distance_sphere", "st_endpoint",
    "st_envelope", "st_equals", "st_exteriorring", "st_frechetdistance", "st_geohash",
    "st_geomcollfromtext", "st_geometryn", "st_geometrytype", "st_geomfromgeojson", "st_geomfromtext",
    "st_geomfromwkb", "st_hausdorffdistance", "st_interiorringn", "st_intersection", "st_intersects",
    "st_isclosed", "st_isempty", "st_issimple", "st_isvalid", "st_latitude", "st_length",
    "st_linefromtext", "st_longitude", "st_makeenvelope", "st_mlinefromtext", "st_mpointfromtext",
    "st_numgeometries", "st_numinteriorring", "st_numpoints", "st_overlaps", "st_pointfromgeohash",
    "st_pointfromtext", "st_pointn", "st_polyfromtext", "st_polygonfromtext", "st_simplify", "st_srid",
    "st_startpoint", "st_swapxy", "st_symdifference", "st_touches", "st_transform", "st_union",
    "st_validate", "st_within", "st_y", "statement_digest", "statement_digest_text", "std", "stddev",
    "stddev_pop", "stddev_samp", "str_to_date", "strcmp", "subdate", "substring_index", "subtime",
    "time_format", "time_to_sec", "timediff", "timestamp", "timestampadd", "timestampdiff", "to_base64",
    "to_char", "to_days", "to_seconds", "trim", "truncate", "ucase", "uncompress", "uncompressed_length",
    "unhex", "updatexml", "uuid_to_bin", "validate_password_strength", "var_pop", "var_samp", "variance",
    "vec_distance", "vec_distance_cosine", "vec_distance_euclidean", "vec_fromtext", "vec_totext",
    "vector", "weekday", "weekofyear", "weight_string", "year", "yearweek",
];

/// SQLite and its usual extensions, besides `COMMON`.
#[rustfmt::skip]
const SQLITE: &[&str] = &[
    "acosh", "asinh", "atanh", "blob", "bm25", "bool", "boolean", "coalesce", "cosh", "datetime",
    "decimal", "decimal_add", "decimal_cmp", "decimal_mul", "decimal_sub", "decimal_sum",
    "edit_distance", "fts5", "generate_series", "glob", "group_concat", "hex", "highlight", "if",
    "ifnull", "iif", "instr", "json", "json_array_insert", "json_array_length", "json_each",
    "json_error_position", "json_extract", "json_group_array", "json_group_object", "json_insert",
    "json_patch", "json_pretty", "json_quote", "json_remove", "json_replace", "json_set", "json_tree",
    "json_type", "json_valid", "jsonb", "jsonb_array", "jsonb_array_insert", "jsonb_each",
    "jsonb_extract", "jsonb_group_array", "jsonb_group_object", "jsonb_insert", "jsonb_object",
    "jsonb_patch", "jsonb_remove", "jsonb_replace", "jsonb_set", "jsonb_tree", "like", "likelihood",
    "likely", "log2", "match", "matchinfo", "median", "mediumint", "native", "nchar", "nullif",
    "nvarchar", "offsets", "percentile", "printf", "quote", "regexp", "rtreecheck", "rtreenode", "sinh",
    "snippet", "spellfix1_editdist", "sqlite_offset", "string_agg", "subtype", "tanh", "tinyint",
    "total", "trim", "trunc", "typeof", "unhex", "unicode", "unistr", "unistr_quote", "unlikely",
    "uuid_blob", "uuid_str", "vec_distance_cosine", "vec_distance_l2", "vec_length", "zeroblob",
];

/// Words of syntax and types that a parenthesis may follow, and that name no function without quotes.
#[rustfmt::skip]
const POSTGRES_WORDS: &[&str] = &[
    "all", "and", "any", "array", "as", "asc", "between", "bigint", "bit", "boolean", "both", "case",
    "cast", "char", "character", "check", "coalesce", "collate", "constraint", "dec", "decimal",
    "default", "desc", "distinct", "do", "else", "end", "except", "exists", "extract", "false", "float",
    "for", "from", "greatest", "group", "grouping", "having", "in", "int", "integer", "intersect",
    "interval", "into", "lateral", "leading", "least", "limit", "national", "nchar", "normalize", "not",
    "null", "nullif", "numeric", "offset", "on", "only", "or", "order", "overlay", "placing", "position",
    "primary", "real", "references", "returning", "row", "smallint", "some", "substring", "then", "time",
    "timestamp", "to", "trailing", "trim", "true", "union", "unique", "using", "values", "varchar",
    "when", "where", "window", "with", "xmlattributes", "xmlconcat", "xmlelement", "xmlexists",
    "xmlforest", "xmlnamespaces", "xmlparse", "xmlpi", "xmlroot", "xmlserialize", "xmltable",
];

/// The same in MySQL and MariaDB.
#[rustfmt::skip]
const MYSQL_WORDS: &[&str] = &[
    "all", "and", "any", "as", "asc", "between", "bigint", "binary", "bit", "blob", "both", "by", "case",
    "character", "check", "collate", "constraint", "dec", "decimal", "default", "desc", "distinct",
    "div", "do", "double", "else", "end", "enum", "except", "exists", "false", "float", "following",
    "for", "from", "group", "having", "ignore", "in", "index", "inner", "int", "integer", "intersect",
    "interval", "into", "is", "join", "key", "leading", "like", "limit", "longtext", "mediumint",
    "mediumtext", "national", "natural", "nchar", "not", "null", "numeric", "offset", "on", "or",
    "order", "over", "partition", "preceding", "primary", "range", "real", "references", "regexp",
    "returning", "rlike", "row", "rows", "separator", "set", "signed", "smallint", "some", "sounds",
    "text", "then", "ties", "tinyint", "tinytext", "to", "trailing", "true", "union", "unique",
    "unsigned", "using", "value", "values", "varbinary", "varchar", "varying", "when", "where", "window",
    "with", "within", "xor",
];

/// The same in SQLite.
#[rustfmt::skip]
const SQLITE_WORDS: &[&str] = &[
    "all", "and", "as", "between", "case", "cast", "check", "collate", "constraint", "default", "distinct",
    "else", "escape", "except", "exists", "from", "group", "having", "in", "index", "intersect", "into",
    "is", "isnull", "join", "limit", "not", "notnull", "null", "on", "or", "order", "primary",
    "references", "returning", "set", "then", "to", "union", "unique", "using", "values", "when",
    "where",
];

/// Another answer each time.
#[rustfmt::skip]
const POSTGRES_VOLATILE: &[&str] = &[
    "array_sample", "array_shuffle", "clock_timestamp", "database_to_xmlschema", "gen_random_bytes",
    "gen_random_uuid", "gen_salt", "lo_get", "nextval", "now", "pgp_pub_encrypt",
    "pgp_pub_encrypt_bytea", "pgp_sym_encrypt", "pgp_sym_encrypt_bytea", "query_to_xmlschema", "random",
    "random_normal", "schema_to_xmlschema", "setseed", "setval", "statement_timestamp",
    "table_to_xmlschema", "timeofday", "transaction_timestamp", "txid_current",
    "txid_current_if_assigned", "txid_current_snapshot", "txid_snapshot_xip", "txid_snapshot_xmax",
    "txid_snapshot_xmin", "txid_status", "txid_visible_in_snapshot", "uuid_generate_v1",
    "uuid_generate_v1mc", "uuid_generate_v4", "uuidv4", "uuidv7",
];

/// Functions that run the query which their first argument is. What they run it on, and with which functions, only
/// that text says; those that run one of a table, a schema or a cursor are in no list.
pub(super) fn runs_its_argument(dialect: Dialect, name: &str) -> bool {
    dialect == Dialect::Postgres && matches!(name, "query_to_xml" | "query_to_xml_and_xmlschema" | "ts_stat")
}

/// The session decides.
#[rustfmt::skip]
const POSTGRES_SESSION: &[&str] = &[
    "col_description", "current_catalog", "current_database", "current_query", "current_role",
    "current_schema", "current_schemas", "current_setting", "current_user", "currval",
    "get_current_ts_config", "has_any_column_privilege", "has_column_privilege",
    "has_database_privilege", "has_foreign_data_wrapper_privilege", "has_function_privilege",
    "has_language_privilege", "has_parameter_privilege", "has_schema_privilege",
    "has_sequence_privilege", "has_server_privilege", "has_table_privilege", "has_tablespace_privilege",
    "has_type_privilege", "inet_client_addr", "inet_client_port", "inet_server_addr", "inet_server_port",
    "lastval", "obj_description", "row_security_active", "session_user", "set_config", "set_limit",
    "shobj_description", "show_limit", "to_regclass", "to_regcollation", "to_regnamespace", "to_regoper",
    "to_regoperator", "to_regproc", "to_regprocedure", "to_regrole", "to_regtype", "user", "version",
];

/// Another answer each time.
#[rustfmt::skip]
const MYSQL_VOLATILE: &[&str] = &[
    "analyse", "benchmark", "curdate", "current_date", "current_time", "current_timestamp", "curtime",
    "get_lock", "is_free_lock", "is_used_lock", "load_file", "localtime", "localtimestamp",
    "master_pos_wait", "nextval", "now", "rand", "random_bytes", "release_all_locks", "release_lock",
    "setval", "sleep", "source_pos_wait", "sys_guid", "sysdate", "utc_date", "utc_time", "utc_timestamp",
    "uuid", "uuid_short", "uuid_v4", "uuid_v7", "wait_for_executed_gtid_set",
    "wait_until_sql_thread_after_gtids",
];

/// The session decides.
#[rustfmt::skip]
const MYSQL_SESSION: &[&str] = &[
    "binlog_gtid_pos", "connection_id", "current_role", "current_user", "database", "decode_histogram",
    "found_rows", "icu_version", "last_insert_id", "lastval", "ps_current_thread_id", "ps_thread_id",
    "roles_graphml", "row_count", "schema", "session_user", "system_user", "user", "version",
];

/// Another answer each time.
#[rustfmt::skip]
const SQLITE_VOLATILE: &[&str] = &[
    "changes", "current_date", "current_time", "current_timestamp", "random", "randomblob",
];

/// The connection decides.
#[rustfmt::skip]
const SQLITE_SESSION: &[&str] = &[
    "last_insert_rowid", "sqlite_compileoption_get", "sqlite_compileoption_used", "sqlite_source_id",
    "sqlite_version", "total_changes",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_sorted_and_short_enough_to_be_searched() {
        let lists = [
            COMMON,
            POSTGRES,
            POSTGRES_VOLATILE,
            POSTGRES_SESSION,
            POSTGRES_CLOCK,
            MYSQL,
            MYSQL_VOLATILE,
            MYSQL_SESSION,
            MYSQL_CLOCK,
            SQLITE,
            SQLITE_VOLATILE,
            SQLITE_SESSION,
            SQLITE_CLOCK,
            POSTGRES_WORDS,
            MYSQL_WORDS,
            SQLITE_WORDS,
        ];
        for list in lists {
            assert!(list.is_sorted(), "{list:?}");
            assert!(list.iter().all(|name| name.len() <= LONGEST && *name == name.to_lowercase()));
        }
    }

    #[test]
    fn what_changes_is_never_taken_for_pure() {
        assert_eq!(class(Dialect::Postgres, "now"), Class::Volatile);
        assert_eq!(class(Dialect::MySql, "uuid"), Class::Volatile);
        assert_eq!(class(Dialect::Postgres, "uuid"), Class::Pure);
        assert_eq!(class(Dialect::Sqlite, "date"), Class::Clock);
        assert_eq!(class(Dialect::Postgres, "pg_advisory_lock"), Class::Session);
        assert_eq!(class(Dialect::Postgres, "app_touch"), Class::Unknown);
    }
}
