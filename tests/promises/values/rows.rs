//! Rows to try: NULL, empty, extremes, unicode.

use ::chrono::{DateTime as Chrono, FixedOffset, Utc};
use ::time::OffsetDateTime;
use proptest::{collection, num, option, prelude::*, sample::select, string::string_regex};
use sea_orm::{entity::prelude::*, value::ChronoUnixTimestampMillis};

use super::entity::{
    Category, Cents, Color, Label, Settings, Tea, by_text, by_uuid, composite, listed, narrow, sample, wide,
};
use crate::support::Backend;

/// Texts up to `longest` characters.
fn text(longest: usize) -> impl Strategy<Value = String> {
    let odd = vec![
        "",
        " ",
        "'",
        "\\",
        "''; DROP TABLE sample; --",
        "null",
        "naïve 🦀 Ω\u{202e}",
        "\t\r\n\u{7f}",
        "a\0b",
    ];
    prop_oneof![
        1 => select(odd).prop_map(str::to_owned),
        2 => string_regex(&format!("\\PC{{0,{longest}}}")).unwrap(),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    collection::vec(any::<u8>(), 0..60)
}

fn integer<T: Copy + std::fmt::Debug + Arbitrary + 'static>(extremes: [T; 3]) -> impl Strategy<Value = T> {
    prop_oneof![1 => select(extremes.to_vec()), 2 => any::<T>()]
}

fn double() -> impl Strategy<Value = f64> {
    let odd =
        [0.0, -0.0, f64::MIN, f64::MAX, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1];
    prop_oneof![1 => select(odd.to_vec()), 2 => num::f64::NORMAL]
}

fn single() -> impl Strategy<Value = f32> {
    let odd = [0.0, -0.0, f32::MIN, f32::MAX, f32::NAN, f32::INFINITY, 0.1];
    prop_oneof![1 => select(odd.to_vec()), 2 => num::f32::NORMAL]
}

/// Seconds since 1970, from the year 1 to the year 9999, and microseconds.
fn instant() -> impl Strategy<Value = (i64, u32)> {
    let years = -62_135_596_800..=253_402_300_799_i64;
    let odd = [-62_135_596_800, -1, 0, 951_782_400, 253_402_300_799];
    (
        prop_oneof![1 => select(odd.to_vec()), 2 => years],
        prop_oneof![Just(0), Just(999_999), 0..1_000_000_u32],
    )
}

fn utc() -> impl Strategy<Value = Chrono<Utc>> {
    instant().prop_map(|(seconds, micros)| Chrono::from_timestamp(seconds, micros * 1000).unwrap())
}

fn fixed() -> impl Strategy<Value = Chrono<FixedOffset>> {
    // The local date must stay within four digits too.
    let inside = utc().prop_map(|at| at.clamp(Chrono::from_timestamp(-62_000_000_000, 0).unwrap(), late()));
    (inside, -14..=14_i32)
        .prop_map(|(at, hours)| at.with_timezone(&FixedOffset::east_opt(hours * 3600).unwrap()))
}

fn late() -> Chrono<Utc> {
    Chrono::from_timestamp(253_000_000_000, 0).unwrap()
}

fn offset() -> impl Strategy<Value = OffsetDateTime> {
    instant().prop_map(|(seconds, micros)| {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap().replace_microsecond(micros).unwrap()
    })
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        Just(Json::from(u64::MAX)),
        num::f64::NORMAL.prop_map(Json::from),
        text(10).prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            collection::hash_map(text(5), inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// JSON's own null inside a column is another matter, and has a test of its own.
fn document() -> impl Strategy<Value = Json> {
    json().prop_map(|json| if json.is_null() { Json::from("null") } else { json })
}

fn settings() -> impl Strategy<Value = Settings> {
    let weights = collection::vec((-1000..1000_i32).prop_map(|number| f64::from(number) / 8.0), 0..3);
    (any::<u8>(), option::of(text(10)), weights).prop_map(|(font_size, theme, weights)| Settings {
        font_size,
        theme,
        weights,
    })
}

fn decimal() -> impl Strategy<Value = Decimal> {
    let most = 9_999_999_999_999_999_i64;
    prop_oneof![1 => select(vec![0, 1, -1, most, -most]), 2 => -most..=most]
        .prop_map(|number| Decimal::new(number, 4))
}

fn uuid() -> impl Strategy<Value = Uuid> {
    prop_oneof![Just(Uuid::nil()), Just(Uuid::max()), any::<u128>().prop_map(Uuid::from_u128)]
}

fn category() -> impl Strategy<Value = Category> {
    select(vec![Category::Big, Category::Small])
}

fn color() -> impl Strategy<Value = Color> {
    select(vec![Color::Black, Color::White])
}

fn tea() -> impl Strategy<Value = Tea> {
    select(vec![Tea::Everyday, Tea::Afternoon])
}

/// A row with every type of column; its key is to be set.
pub fn sample() -> impl Strategy<Value = sample::Model> {
    let numbers = (
        any::<bool>(),
        option::of(any::<bool>()),
        integer([i16::MIN, 0, i16::MAX]),
        integer([i32::MIN, 0, i32::MAX]),
        option::of(integer([i32::MIN, 0, i32::MAX])),
        integer([i64::MIN, 0, i64::MAX]),
        option::of(integer([i64::MIN, 0, i64::MAX])),
        single(),
        double(),
        option::of(double()),
    );
    let texts = (
        text(40),
        text(40),
        option::of(text(40)),
        text(300),
        option::of(text(300)),
        "[a-z ]{0,8}",
        bytes(),
        option::of(bytes()),
        text(20),
        text(20),
    );
    let choices = (
        (category(), option::of(category()), color(), option::of(color()), tea(), option::of(tea())),
        (document(), option::of(document()), settings(), option::of(settings())),
        (decimal(), option::of(decimal()), uuid(), option::of(uuid())),
        (any::<i64>(), option::of(any::<i64>()), any::<i32>()),
    );
    let times = (
        utc(),
        utc(),
        utc(),
        fixed(),
        option::of(fixed()),
        offset(),
        offset(),
        offset(),
        option::of(offset()),
    );
    (numbers, texts, choices, times).prop_map(|(number, text, choice, time)| {
        let (enums, documents, exact, newtypes) = choice;
        sample::Model {
            id: 0,
            flag: number.0,
            flag_or_null: number.1,
            small: number.2,
            int: number.3,
            int_or_null: number.4,
            big: number.5,
            big_or_null: number.6,
            single: number.7,
            double: number.8,
            double_or_null: number.9,
            name: text.0,
            secret: text.1,
            name_or_null: text.2,
            text: text.3,
            text_or_null: text.4,
            code: text.5,
            bytes: text.6,
            bytes_or_null: text.7,
            category: enums.0,
            category_or_null: enums.1,
            color: enums.2,
            color_or_null: enums.3,
            tea: enums.4,
            tea_or_null: enums.5,
            json: documents.0,
            json_or_null: documents.1,
            settings: documents.2,
            settings_or_null: documents.3,
            price: exact.0,
            price_or_null: exact.1,
            chrono_date: time.0.date_naive(),
            chrono_time: time.0.time(),
            chrono_date_time: time.1.naive_utc(),
            chrono_utc: time.2,
            chrono_fixed: time.3,
            chrono_fixed_or_null: time.4,
            time_date: time.5.date(),
            time_time: time.5.time(),
            time_date_time: TimeDateTime::new(time.6.date(), time.6.time()),
            time_offset: time.7,
            time_offset_or_null: time.8,
            uuid: exact.2,
            uuid_or_null: exact.3,
            cents: Cents(newtypes.0),
            cents_or_null: newtypes.1.map(Cents),
            label: Label(text.8),
            renamed: text.9,
            r#type: newtypes.2,
            no_column: Vec::new(),
        }
    })
}

/// Takes out of a row what the database refuses.
pub fn fit(mut row: sample::Model, backend: Backend) -> sample::Model {
    match backend {
        Backend::Postgres => {
            for text in [&mut row.name, &mut row.secret, &mut row.text, &mut row.label.0, &mut row.renamed] {
                without_nul(text);
            }
            for text in [&mut row.name_or_null, &mut row.text_or_null].into_iter().flatten() {
                without_nul(text);
            }
            for settings in [Some(&mut row.settings), row.settings_or_null.as_mut()].into_iter().flatten() {
                settings.theme.iter_mut().for_each(without_nul);
            }
            for json in [Some(&mut row.json), row.json_or_null.as_mut()].into_iter().flatten() {
                *json = serde_json::from_str(&json.to_string().replace("\\u0000", "")).unwrap();
            }
        }
        Backend::MariaDb => {
            // No NaN, no infinity, and a FLOAT is read through its shortest decimal.
            row.single = if row.single.is_finite() { row.single.clamp(-1e37, 1e37) } else { 0.5 };
            row.double = if row.double.is_finite() { row.double } else { 0.5 };
            row.double_or_null = row.double_or_null.filter(|number| number.is_finite());
            // TIMESTAMP ends in 2038, and does not begin before 1970.
            row.chrono_utc = around_2000(row.chrono_utc);
            row.chrono_fixed = around_2000(row.chrono_fixed.to_utc()).fixed_offset();
            row.chrono_fixed_or_null =
                row.chrono_fixed_or_null.map(|at| around_2000(at.to_utc()).fixed_offset());
            row.time_offset = offset_around_2000(row.time_offset);
            row.time_offset_or_null = row.time_offset_or_null.map(offset_around_2000);
            // DATETIME without fractions rounds up, and may not round into the year 10000.
            let last = late().naive_utc();
            row.chrono_date_time = row.chrono_date_time.min(last);
            if row.time_date_time.year() > 9990 {
                row.time_date_time = row.time_date_time.replace_year(2000).unwrap();
            }
        }
        Backend::Sqlite => {
            // NaN is NULL.
            row.single = if row.single.is_nan() { 0.5 } else { row.single };
            row.double = if row.double.is_nan() { 0.5 } else { row.double };
        }
    }
    row
}

fn without_nul(text: &mut String) {
    text.retain(|c| c != '\0');
}

fn around_2000(at: Chrono<Utc>) -> Chrono<Utc> {
    let year = 365 * 86_400;
    Chrono::from_timestamp(at.timestamp().rem_euclid(60 * year) + year, at.timestamp_subsec_nanos()).unwrap()
}

fn offset_around_2000(at: OffsetDateTime) -> OffsetDateTime {
    let inside = around_2000(Chrono::from_timestamp(at.unix_timestamp(), 0).unwrap());
    OffsetDateTime::from_unix_timestamp(inside.timestamp())
        .unwrap()
        .replace_microsecond(at.microsecond())
        .unwrap()
}

pub fn narrow() -> impl Strategy<Value = narrow::Model> {
    let row = (
        integer([i8::MIN, 0, i8::MAX]),
        option::of(any::<i8>()),
        integer([0, 1, u8::MAX]),
        integer([0, 1, u16::MAX]),
        integer([0, 1, u32::MAX]),
        option::of(integer([0, 1, u32::MAX])),
    );
    row.prop_map(|(tiny, tiny_or_null, tiny_unsigned, small_unsigned, unsigned, unsigned_or_null)| {
        narrow::Model { id: 0, tiny, tiny_or_null, tiny_unsigned, small_unsigned, unsigned, unsigned_or_null }
    })
}

pub fn wide() -> impl Strategy<Value = wide::Model> {
    (integer([0, 1, u64::MAX]), option::of(integer([0, 1, u64::MAX]))).prop_map(
        |(big_unsigned, big_unsigned_or_null)| wide::Model { id: 0, big_unsigned, big_unsigned_or_null },
    )
}

pub fn listed() -> impl Strategy<Value = listed::Model> {
    let numbers = || collection::vec(integer([i32::MIN, 0, i32::MAX]), 0..4);
    let words = || collection::vec(text(10).prop_map(|text| text.replace('\0', "")), 0..4);
    let row = (
        numbers(),
        option::of(numbers()),
        words(),
        option::of(words()),
        collection::vec(double(), 0..4),
        collection::vec(uuid(), 0..3),
        collection::vec(utc(), 0..3),
    );
    row.prop_map(|(numbers, numbers_or_null, words, words_or_null, doubles, uuids, moments)| listed::Model {
        id: 0,
        numbers,
        numbers_or_null,
        words,
        words_or_null,
        doubles,
        uuids,
        moments,
    })
}

pub fn composite() -> impl Strategy<Value = composite::Model> {
    (any::<i32>(), key_text(), option::of(text_for_all(20)))
        .prop_map(|(shelf, label, text)| composite::Model { shelf, label, text })
}

pub fn by_uuid() -> impl Strategy<Value = by_uuid::Model> {
    (any::<u128>(), option::of(text_for_all(20)), uuid(), option::of(utc())).prop_map(
        |(id, text, text_uuid, millis)| by_uuid::Model {
            id: Uuid::from_u128(id),
            text,
            text_uuid: TextUuid(text_uuid),
            millis: millis.map(ChronoUnixTimestampMillis),
        },
    )
}

pub fn by_text() -> impl Strategy<Value = by_text::Model> {
    (key_text(), option::of(text_for_all(20))).prop_map(|(name, text)| by_text::Model { name, text })
}

/// Keys that no collation holds equal: the digits are random, what is around them is odd.
fn key_text() -> impl Strategy<Value = String> {
    let around = vec!["", "é", "🦀", ":", "a,b", "%41", "X", "#", "@"];
    (any::<u64>(), select(around)).prop_map(|(number, odd)| format!("{odd}{number}{odd}"))
}

fn text_for_all(longest: usize) -> impl Strategy<Value = String> {
    text(longest).prop_map(|text| text.replace('\0', ""))
}
