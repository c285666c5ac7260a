//! The compose file is one, and says what the operations page says.

use yaml_rust2::{Yaml, YamlLoader};

// feature D11
#[test]
fn the_compose_file_starts_redis_and_the_databases_with_passwords_and_for_this_machine_alone() {
    let text = include_str!("../../../ops/compose.yaml");
    let documents = YamlLoader::load_from_str(text).unwrap();
    let [file] = &documents[..] else { panic!("one document") };
    let services = &file["services"];
    let texts = |list: &Yaml| -> Vec<String> {
        list.as_vec().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    for name in ["redis", "postgres", "mariadb"] {
        let service = &services[name];
        assert!(service["image"].as_str().unwrap().contains(':'), "{name}: a version is named");
        assert!(service["healthcheck"]["test"].as_vec().is_some(), "{name}");
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
        for volume in texts(&service["volumes"]) {
            let volume = volume.split(':').next().unwrap().to_owned();
            assert!(!file["volumes"][volume.as_str()].is_badvalue(), "{name}: {volume} is declared");
        }
    }
    let redis = texts(&services["redis"]["command"]);
    let follows = |option: &str| redis[redis.iter().position(|it| it == option).unwrap() + 1].clone();
    assert_eq!(follows("--appendonly"), "yes");
    assert!(follows("--requirepass").starts_with("${REDIS_PASSWORD:?"), "none by default");
    // Those that end first what ends first would end barriers.
    assert_eq!(follows("--maxmemory-policy"), "allkeys-lru");
    for (service, variable) in [("postgres", "POSTGRES_PASSWORD"), ("mariadb", "MARIADB_ROOT_PASSWORD")] {
        assert!(services[service]["environment"][variable].as_str().unwrap().contains(":?"), "{service}");
    }
}
