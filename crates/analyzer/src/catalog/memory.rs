//! A catalog that lives as long as its process.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use firesteel_plan::SparkResult;
use parking_lot::RwLock;

use super::{Catalog, DEFAULT_DATABASE, Database, SESSION_CATALOG, Table};
use crate::errors;

#[derive(Debug)]
pub struct MemoryCatalog {
    databases: RwLock<BTreeMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    database: Database,
    tables: BTreeMap<String, Arc<Table>>,
}

impl MemoryCatalog {
    /// With the database `default`, whose tables are in `warehouse`.
    pub fn new(warehouse: &str) -> Self {
        let database = Database {
            name: DEFAULT_DATABASE.to_owned(),
            location: warehouse.to_owned(),
            comment: Some("default database".to_owned()),
            properties: BTreeMap::new(),
        };
        let entry = Entry { database, tables: BTreeMap::new() };
        Self { databases: RwLock::new(BTreeMap::from([(DEFAULT_DATABASE.to_owned(), entry)])) }
    }
}

fn key(name: &str) -> String {
    name.to_lowercase()
}

fn qualified(database: &str) -> Vec<String> {
    vec![SESSION_CATALOG.to_owned(), database.to_owned()]
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn databases(&self) -> SparkResult<Vec<Database>> {
        Ok(self.databases.read().values().map(|e| e.database.clone()).collect())
    }

    async fn database(&self, name: &str) -> SparkResult<Option<Database>> {
        Ok(self.databases.read().get(&key(name)).map(|e| e.database.clone()))
    }

    async fn create_database(&self, database: Database) -> SparkResult<()> {
        let mut databases = self.databases.write();
        if databases.contains_key(&key(&database.name)) {
            return Err(errors::schema_exists(&qualified(&database.name)));
        }
        databases.insert(key(&database.name), Entry { database, tables: BTreeMap::new() });
        Ok(())
    }

    async fn drop_database(&self, name: &str) -> SparkResult<()> {
        match self.databases.write().remove(&key(name)) {
            Some(_) => Ok(()),
            None => Err(errors::schema_not_found(&qualified(name))),
        }
    }

    async fn alter_database(&self, database: Database) -> SparkResult<()> {
        match self.databases.write().get_mut(&key(&database.name)) {
            Some(entry) => {
                entry.database = database;
                Ok(())
            }
            None => Err(errors::schema_not_found(&qualified(&database.name))),
        }
    }

    async fn tables(&self, database: &str) -> SparkResult<Vec<Arc<Table>>> {
        match self.databases.read().get(&key(database)) {
            Some(entry) => Ok(entry.tables.values().cloned().collect()),
            None => Err(errors::schema_not_found(&qualified(database))),
        }
    }

    async fn table(&self, database: &str, name: &str) -> SparkResult<Option<Arc<Table>>> {
        Ok(self.databases.read().get(&key(database)).and_then(|e| e.tables.get(&key(name)).cloned()))
    }

    async fn create_table(&self, table: Table, replace: bool) -> SparkResult<()> {
        let mut databases = self.databases.write();
        let Some(entry) = databases.get_mut(&key(&table.database)) else {
            return Err(errors::schema_not_found(&qualified(&table.database)));
        };
        if !replace && entry.tables.contains_key(&key(&table.name)) {
            return Err(errors::table_exists(&table.full_name()));
        }
        entry.tables.insert(key(&table.name), Arc::new(table));
        Ok(())
    }

    async fn drop_table(&self, database: &str, name: &str) -> SparkResult<Option<Arc<Table>>> {
        Ok(self.databases.write().get_mut(&key(database)).and_then(|e| e.tables.remove(&key(name))))
    }
}
